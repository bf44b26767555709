export declare const ABSENT: Record<string, string>;
