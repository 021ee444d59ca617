import { createPinia } from "pinia";
import { createApp } from "vue";

import App from "./App.vue";
import { i18n, loadLanguage } from "./i18n";
import { router } from "./router";
import { usePreferences } from "./stores/preferences";
import "./styles.css";

const app = createApp(App);
app.use(createPinia()).use(i18n);

// the words first: a page that changes its language while one looks is unpleasant
await loadLanguage(usePreferences().language).catch(() => undefined);
app.use(router).mount("#app");
