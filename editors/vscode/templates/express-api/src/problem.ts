import type { NextFunction, Request, Response } from "express";

/** What went wrong, as a client is told. */
export class Problem extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Every error as problem details; what nobody foresaw says nothing of the inside. */
export function problems(error: unknown, _request: Request, response: Response, next: NextFunction): void {
  if (response.headersSent) {
    next(error);
    return;
  }
  const status = statusOf(error);
  const detail = status < 500 && error instanceof Error ? error.message : "internal error";
  response.status(status).type("application/problem+json").json({ status, detail });
}

/** Express' own errors, such as a body that is no JSON, carry a status. */
function statusOf(error: unknown): number {
  const { status } = (error ?? {}) as { status?: unknown };
  return typeof status === "number" && status >= 400 && status < 600 ? status : 500;
}
