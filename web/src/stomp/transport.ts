/** The two roads to the same STOMP endpoint. */

const SUBPROTOCOLS = ["v12.stomp", "v11.stomp", "v10.stomp"];

export type Road = "websocket" | "sockjs";

/** A socket that is being opened. SockJS is fetched only when it is needed. */
export async function openSocket(road: Road): Promise<WebSocket> {
  if (road === "websocket") {
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url, SUBPROTOCOLS);
  }
  const { default: SockJS } = await import("sockjs-client/dist/sockjs.min.js");
  return new SockJS("/ws", null, { transports: ["xhr-streaming", "xhr-polling"] });
}

/** Whether the server answers plain HTTP: then a failed WebSocket is the network's doing. */
export async function serverAnswers(): Promise<boolean> {
  try {
    const answer = await fetch("/healthz", {
      cache: "no-store",
      signal: AbortSignal.timeout(5_000),
    });
    return answer.ok;
  } catch {
    return false;
  }
}
