declare module "*.vue" {
  import type { DefineComponent } from "vue";
  const component: DefineComponent<object, object, unknown>;
  export default component;
}

declare module "sockjs-client/dist/sockjs.min.js" {
  /** The part of sockjs-client that is used: a WebSocket by other means. */
  export default class SockJS extends WebSocket {
    constructor(
      url: string,
      reserved?: unknown,
      options?: { transports?: string[]; timeout?: number },
    );
  }
}
