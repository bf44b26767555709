import type { NextConfig } from "next";

const config: NextConfig = {
  // The store is beside the sources, and the build looks no further up.
  turbopack: { root: import.meta.dirname },
};

export default config;
