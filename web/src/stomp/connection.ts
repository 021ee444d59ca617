/**
 * One STOMP connection that keeps coming back.
 *
 *     idle → connecting → syncing → online
 *               ↑             ↓        ↓
 *               └── waiting (until) ←──┘        refused: does not try again by itself
 *
 * An attempt is a fresh client of @stomp/stompjs; when to try again is decided here,
 * because the page shows the seconds. After the session is up it subscribes first and
 * then lets `onOnline` fetch what was missed: what happens in between arrives live,
 * and the numbers (`stores/timeline.ts`) make the overlap harmless.
 */

import { Client, type IFrame, type IMessage } from "@stomp/stompjs";

import { ApiError } from "@/api/http";
import type { ChatEvent, Ephemeral, Notice, Refusal } from "@/api/types";

import { backoff } from "./backoff";
import { openSocket, serverAnswers, type Road } from "./transport";

export type ConnectionState =
  | { kind: "idle" }
  | { kind: "connecting"; attempt: number }
  | { kind: "syncing" }
  | { kind: "online" }
  | { kind: "waiting"; until: number; reachable: boolean }
  | { kind: "refused" };

export interface Handlers {
  onState(state: ConnectionState): void;
  onEvent(event: ChatEvent | Notice): void;
  onEphemeral(event: Ephemeral): void;
  /** Subscriptions stand: fetch what was missed. A rejection counts as a lost connection. */
  onOnline(): Promise<void>;
  /** The session may be over: true if one must sign in again. */
  isSessionOver(): Promise<boolean>;
}

/** Headers of a RECEIPT. */
export type Receipt = Record<string, string>;

/** The connection went before the answer came: whether it was done is not known. */
export class Disconnected extends Error {
  constructor() {
    super("disconnected before the receipt");
    this.name = "Disconnected";
  }
}

interface Waiter {
  resolve(receipt: Receipt): void;
  reject(error: Error): void;
  timer: ReturnType<typeof setTimeout>;
}

const ATTEMPT_MS = 10_000;
const RECEIPT_MS = 15_000;
const HEARTBEAT_MS = 20_000;
const POLICY = 1008;
const WEBSOCKET_FAILURES_BEFORE_SOCKJS = 2;

export class Connection {
  private client: Client | null = null;
  private state: ConnectionState = { kind: "idle" };
  private readonly waiters = new Map<string, Waiter>();
  private receipts = 0;
  private attempt = 0;
  private websocketFailures = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private stopped = true;

  constructor(private readonly handlers: Handlers) {}

  /** Begin, or try at once if it is waiting. */
  start(): void {
    this.stopped = false;
    if (this.state.kind !== "idle" && this.state.kind !== "waiting" && this.state.kind !== "refused") {
      return;
    }
    clearTimeout(this.retry);
    void this.connect();
  }

  /** End, without coming back. */
  stop(): void {
    this.stopped = true;
    clearTimeout(this.retry);
    this.drop();
    this.enter({ kind: "idle" });
  }

  /** The network says it changed: find out whether the connection still stands. */
  async probe(): Promise<void> {
    if (this.state.kind === "waiting") return this.start();
    if (this.state.kind !== "online" || (await serverAnswers())) return;
    if (this.state.kind === "online") this.lost(null, false);
  }

  /**
   * Send and wait for the RECEIPT.
   *
   * @throws ApiError refused: it will not be done.
   * @throws Disconnected unknown: send again with the same client id.
   */
  send(destination: string, body: unknown): Promise<Receipt> {
    const client = this.client;
    if (!client?.connected) return Promise.reject(new Disconnected());
    return this.expect((receipt) =>
      client.publish({
        destination,
        body: JSON.stringify(body),
        headers: { receipt, "content-type": "application/json" },
      }),
    );
  }

  /** Send what may be lost (typing): no receipt. */
  tell(destination: string, body: unknown): void {
    if (!this.client?.connected) return;
    const headers = { "content-type": "application/json" };
    this.client.publish({ destination, body: JSON.stringify(body), headers });
  }

  private async connect(): Promise<void> {
    this.attempt += 1;
    this.enter({ kind: "connecting", attempt: this.attempt });
    const road: Road =
      this.websocketFailures >= WEBSOCKET_FAILURES_BEFORE_SOCKJS ? "sockjs" : "websocket";
    let socket: WebSocket;
    try {
      socket = await openSocket(road);
    } catch {
      return this.failed(road, null);
    }
    if (this.stopped) return socket.close();
    let established = false;
    const client = new Client({
      webSocketFactory: () => socket,
      reconnectDelay: 0,
      heartbeatIncoming: HEARTBEAT_MS,
      heartbeatOutgoing: HEARTBEAT_MS,
      discardWebsocketOnCommFailure: true,
      onConnect: () => {
        established = true;
        void this.established(client);
      },
      onStompError: () => socket.close(),
      onWebSocketClose: (event: CloseEvent) => {
        if (this.client !== client) return;
        if (!established) void this.failed(road, event.code);
        else this.lost(event.code, true);
      },
      onUnhandledReceipt: () => undefined,
    });
    this.client = client;
    this.deadline = setTimeout(() => {
      if (this.client === client && !established) void this.failed(road, null);
    }, ATTEMPT_MS);
    client.activate();
  }

  private async established(client: Client): Promise<void> {
    clearTimeout(this.deadline);
    this.enter({ kind: "syncing" });
    try {
      client.subscribe("/user/queue/errors", (message) => this.refused(message));
      client.subscribe("/user/queue/ephemeral", (message) =>
        this.handlers.onEphemeral(JSON.parse(message.body) as Ephemeral),
      );
      await this.expect((receipt) =>
        client.subscribe(
          "/user/queue/events",
          (message) => this.handlers.onEvent(JSON.parse(message.body) as ChatEvent | Notice),
          { receipt },
        ),
      );
      await this.handlers.onOnline();
    } catch (error) {
      if (this.client !== client) return;
      if (error instanceof ApiError && error.status === 401) return this.refuse();
      return this.lost(null, true);
    }
    if (this.client !== client) return;
    this.attempt = 0;
    this.websocketFailures = 0;
    this.enter({ kind: "online" });
  }

  /** An attempt that never became a session. */
  private async failed(road: Road, code: number | null): Promise<void> {
    this.drop();
    const reachable = await serverAnswers();
    if (reachable && (await this.handlers.isSessionOver())) return this.refuse();
    // only a server that answers HTTP but not WebSocket is a reason for the detour
    if (road === "sockjs") this.websocketFailures = 0;
    else if (reachable) this.websocketFailures += 1;
    this.lost(code, reachable);
  }

  private lost(code: number | null, reachable: boolean): void {
    this.drop();
    if (this.stopped) return;
    if (code === POLICY) {
      void this.handlers.isSessionOver();
      return this.refuse();
    }
    const wait = backoff(Math.max(1, this.attempt), code);
    this.enter({ kind: "waiting", until: Date.now() + wait, reachable });
    clearTimeout(this.retry);
    this.retry = setTimeout(() => void this.connect(), wait);
  }

  private refuse(): void {
    this.drop();
    this.enter({ kind: "refused" });
  }

  private drop(): void {
    clearTimeout(this.deadline);
    const client = this.client;
    this.client = null;
    if (client) void client.deactivate({ force: true });
    for (const [id, waiter] of this.waiters) {
      this.waiters.delete(id);
      clearTimeout(waiter.timer);
      waiter.reject(new Disconnected());
    }
  }

  private expect(send: (receipt: string) => void): Promise<Receipt> {
    const id = `r${(this.receipts += 1)}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        // silence is no answer: the connection is dead, its successor sends again
        this.waiters.delete(id);
        reject(new Disconnected());
        this.lost(null, true);
      }, RECEIPT_MS);
      this.waiters.set(id, { resolve, reject, timer });
      this.client?.watchForReceipt(id, (frame: IFrame) =>
        this.settle(id)?.resolve(frame.headers as Receipt),
      );
      send(id);
    });
  }

  private refused(message: IMessage): void {
    const refusal = JSON.parse(message.body) as Refusal & { receipt?: string };
    const id = message.headers["receipt-id"] ?? refusal.receipt ?? "";
    this.settle(id)?.reject(new ApiError(400, refusal));
  }

  private settle(id: string): Waiter | undefined {
    const waiter = this.waiters.get(id);
    this.waiters.delete(id);
    clearTimeout(waiter?.timer);
    return waiter;
  }

  private enter(state: ConnectionState): void {
    this.state = state;
    this.handlers.onState(state);
  }
}
