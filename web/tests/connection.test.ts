import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ApiError } from "@/api/http";
import { Connection, Disconnected, type ConnectionState, type Handlers } from "@/stomp/connection";

interface Frame {
  command: string;
  headers: Record<string, string>;
  body: string;
}

/** The server's end of a WebSocket, speaking just enough STOMP. */
class Socket {
  static all: Socket[] = [];
  static refuses = false;

  readyState = 0;
  binaryType = "";
  onopen?: () => void;
  onclose?: (event: { code: number; reason: string }) => void;
  onerror?: (event: object) => void;
  onmessage?: (event: { data: string }) => void;
  readonly frames: Frame[] = [];
  holdsReceipts = false;

  constructor(
    readonly url: URL,
    readonly protocols: string[],
  ) {
    Socket.all.push(this);
    setTimeout(() => {
      if (Socket.refuses) return this.hangUp(1006);
      this.readyState = 1;
      this.onopen?.();
    });
  }

  send(data: string): void {
    if (data === "\n") return;
    const [head = "", body = ""] = data.replace(/\0$/, "").split(/\n\n([\s\S]*)/);
    const [command = "", ...lines] = head.split("\n");
    const headers = Object.fromEntries(lines.map((line) => line.split(/:(.*)/).slice(0, 2)));
    this.frames.push({ command, headers, body });
    if (command === "CONNECT") this.say("CONNECTED", { version: "1.2", "user-name": "101" });
    else if (headers.receipt && !this.holdsReceipts) this.say("RECEIPT", { "receipt-id": headers.receipt, seq: "7" });
  }

  say(command: string, headers: Record<string, string>, body = ""): void {
    const head = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
    queueMicrotask(() => this.onmessage?.({ data: `${command}\n${head.join("")}\n${body}\0` }));
  }

  /** A MESSAGE to whoever subscribed to `destination`. */
  message(destination: string, body: object, headers: Record<string, string> = {}): void {
    const subscription = this.frames.find((frame) => frame.headers.destination === destination)!.headers.id!;
    this.say("MESSAGE", { destination, subscription, "message-id": "1", ...headers }, JSON.stringify(body));
  }

  hangUp(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason: "" });
  }

  close(): void {
    this.hangUp(1000);
  }

  get commands(): string[] {
    return this.frames.map((frame) => frame.command);
  }
}

const newest = () => Socket.all.at(-1)!;

let states: ConnectionState[] = [];
let handlers: Handlers;
let connection: Connection;
let healthy = true;

beforeEach(() => {
  Socket.all = [];
  Socket.refuses = false;
  healthy = true;
  states = [];
  vi.stubGlobal("WebSocket", Socket);
  vi.stubGlobal("fetch", () => (healthy ? Promise.resolve({ ok: true }) : Promise.reject(new Error("down"))));
  vi.spyOn(Math, "random").mockReturnValue(0);
  handlers = {
    onState: (state) => states.push(state),
    onEvent: vi.fn(),
    onEphemeral: vi.fn(),
    onOnline: vi.fn(() => Promise.resolve()),
    isSessionOver: vi.fn(() => Promise.resolve(false)),
  };
  connection = new Connection(handlers);
});

afterEach(() => {
  connection.stop();
  vi.unstubAllGlobals();
});

const kinds = () => states.map((state) => state.kind);
const reached = (kind: ConnectionState["kind"]) => vi.waitFor(() => expect(kinds().at(-1)).toBe(kind), { timeout: 5_000 });

async function online(): Promise<Socket> {
  connection.start();
  await reached("online");
  return newest();
}

describe("a connection", () => {
  it("subscribes before it fetches what was missed, and is online after", async () => {
    let subscribed = 0;
    handlers.onOnline = vi.fn(() => {
      subscribed = newest().commands.filter((command) => command === "SUBSCRIBE").length;
      return Promise.resolve();
    });
    await online();
    expect(subscribed).toBe(3);
    expect(kinds()).toEqual(["connecting", "syncing", "online"]);
    expect(newest().protocols).toContain("v12.stomp");
  });

  it("waits for the receipt of the subscription first", async () => {
    connection.start();
    await vi.waitFor(() => expect(Socket.all).toHaveLength(1));
    newest().holdsReceipts = true;
    await vi.waitFor(() => expect(newest().commands.filter((c) => c === "SUBSCRIBE")).toHaveLength(3));
    expect(handlers.onOnline).not.toHaveBeenCalled();
  });

  it("hands on what arrives", async () => {
    const socket = await online();
    socket.message("/user/queue/events", { type: "cursor", conversation: "1", read_seq: 2, read_n: 1 });
    socket.message("/user/queue/ephemeral", { type: "typing", conversation: "1", user: "2" });
    await vi.waitFor(() => expect(handlers.onEphemeral).toHaveBeenCalledOnce());
    expect(handlers.onEvent).toHaveBeenCalledWith({ type: "cursor", conversation: "1", read_seq: 2, read_n: 1 });
  });

  it("answers a sending with the headers of its receipt", async () => {
    await online();
    await expect(connection.send("/app/chat.send", { text: "hi" })).resolves.toMatchObject({ seq: "7" });
  });

  it("answers a refusal with its code, and stays", async () => {
    const socket = await online();
    socket.holdsReceipts = true;
    const sent = connection.send("/app/chat.send", { text: "" });
    const refused = expect(sent).rejects.toMatchObject({ code: "text_empty", retryAfter: 2 });
    const receipt = socket.frames.at(-1)!.headers.receipt!;
    socket.message("/user/queue/errors", { code: "text_empty", message: "…", retry_after: 2 }, { "receipt-id": receipt });
    await refused;
    await expect(sent.catch((error: unknown) => error)).resolves.toBeInstanceOf(ApiError);
    expect(kinds().at(-1)).toBe("online");
  });

  it("says of what was under way that it is not known, and comes back", async () => {
    const socket = await online();
    socket.holdsReceipts = true;
    const sent = expect(connection.send("/app/chat.send", {})).rejects.toBeInstanceOf(Disconnected);
    socket.hangUp(1006);
    await sent;
    expect(kinds().at(-1)).toBe("waiting");
    await reached("online");
    expect(Socket.all).toHaveLength(2);
    expect(handlers.onOnline).toHaveBeenCalledTimes(2);
  });

  it("refuses to send while it is away", async () => {
    await expect(connection.send("/app/chat.send", {})).rejects.toBeInstanceOf(Disconnected);
  });

  it("does not come back by itself when the server's policy ended it", async () => {
    const socket = await online();
    socket.hangUp(1008);
    expect(kinds().at(-1)).toBe("refused");
    expect(handlers.isSessionOver).toHaveBeenCalled();
    connection.start();
    await reached("online");
  });

  it("stops trying when the session is over", async () => {
    Socket.refuses = true;
    handlers.isSessionOver = vi.fn(() => Promise.resolve(true));
    connection.start();
    await reached("refused");
  });

  it("counts a failed sync as a lost connection", async () => {
    handlers.onOnline = vi.fn().mockRejectedValueOnce(new ApiError(503, { code: "unavailable", message: "" })).mockResolvedValue(undefined);
    connection.start();
    await reached("online");
    expect(kinds()).toEqual(["connecting", "syncing", "waiting", "connecting", "syncing", "online"]);
  });

  it("does not blame the road while the server is away", async () => {
    Socket.refuses = true;
    healthy = false;
    connection.start();
    await vi.waitFor(() => expect(Socket.all.length).toBeGreaterThanOrEqual(4), { timeout: 5_000 });
    expect(states.filter((state) => state.kind === "waiting").every((state) => !state.reachable)).toBe(true);
  });

  it("ends when it is told to, and does not come back", async () => {
    const socket = await online();
    connection.stop();
    expect(socket.readyState).toBe(3);
    expect(kinds().at(-1)).toBe("idle");
    expect(Socket.all).toHaveLength(1);
  });

  it("finds out at a change of the network whether it still stands", async () => {
    await online();
    await connection.probe();
    expect(kinds().at(-1)).toBe("online");
    healthy = false;
    await connection.probe();
    expect(kinds().at(-1)).toBe("waiting");
  });
});
