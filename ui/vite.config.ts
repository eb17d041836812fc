import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Everything is asked for relative to the page, so that a built page works at any address, in a subfolder too.
export default defineConfig({
  base: "./",
  plugins: [react()],
  build: {
    outDir: "../src/diffuscope/server/static",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the server's content-security policy allows no inline scripts
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8000" } },
  test: { environment: "node", include: ["src/**/*.test.{ts,tsx}"] },
});
