import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import tailwindcss from "@tailwindcss/vite";
import vue from "@vitejs/plugin-vue";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const webapp = here("../src/salon/webapp");

/** The guest pages use no bundler: they get both libraries as plain scripts. */
function classicLibraries(): Plugin {
  const files = {
    "sockjs.min.js": "node_modules/sockjs-client/dist/sockjs.min.js",
    "stomp.umd.min.js": "node_modules/@stomp/stompjs/bundles/stomp.umd.min.js",
  };
  return {
    name: "salon-classic-libraries",
    apply: "build",
    closeBundle() {
      mkdirSync(`${webapp}/classic-lib`, { recursive: true });
      for (const [name, from] of Object.entries(files)) {
        copyFileSync(here(from), `${webapp}/classic-lib/${name}`);
      }
    },
  };
}

export default defineConfig({
  plugins: [vue(), tailwindcss(), classicLibraries()],
  resolve: {
    alias: {
      "@": here("src"),
      entities: here("src/composables/entities.ts"),
    },
  },
  define: {
    // vue-i18n: only the composition API is used
    __VUE_I18N_LEGACY_API__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
    __INTLIFY_DROP_MESSAGE_COMPILER__: true, // src/i18n/compile.ts
    __VUE_OPTIONS_API__: false,
  },
  build: {
    outDir: webapp,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0, // the policy allows no data: fonts or scripts
    manifest: "manifest.json",
    chunkSizeWarningLimit: 400,
  },
  server: {
    proxy: {
      "/api": "http://127.0.0.1:8080",
      "/media": "http://127.0.0.1:8080",
      "/healthz": "http://127.0.0.1:8080",
      "/ws": { target: "http://127.0.0.1:8080", ws: true },
    },
  },
  test: {
    environment: "happy-dom",
    include: ["tests/**/*.test.ts"],
    restoreMocks: true,
    server: { deps: { inline: ["markdown-it"] } }, // with our `entities`, as shipped
  },
});
