/** What travels (docs/reference/protocol.md). Ids are decimal strings: 64 bits. */

export type Id = string;

export interface User {
  id: Id;
  handle: string;
  name: string;
  role: "admin" | "member";
  created: number;
}

export interface Member {
  user: Id;
  role: "owner" | "admin" | "member";
}

export interface Conversation {
  id: Id;
  kind: "single" | "group";
  name: string;
  owner: Id;
  members: Member[];
  last_seq: number;
  last_n: number;
  first_seq: number;
  read_seq: number;
  read_n: number;
  /** Of the newest event; milliseconds since 1970. */
  ts: number;
}

export type PictureState = "queued" | "drawing" | "done" | "failed" | "cancelled";

export interface PictureNote {
  code: string;
  message: string;
  params?: Record<string, string | number>;
}

export interface PictureBody {
  job: string;
  prompt: string;
  negative?: string;
  seed?: number;
  steps?: number;
  guidance?: number;
  /** What it was drawn with; `steps` and `guidance` are what somebody asked for. */
  drawn_steps?: number;
  drawn_guidance?: number;
  state: PictureState;
  file?: string;
  width?: number;
  height?: number;
  model?: string;
  elapsed_ms?: number;
  /** What the model wants to tell; `message` is for codes without a translation. */
  notes?: PictureNote[];
  /** What the model read the prompt as, where it does not know what was asked. */
  drawn_as?: string;
  reason?: string;
  code?: string;
  by?: Id;
}

interface Numbered<T extends string, B> {
  type: T;
  conversation: Id;
  /** Dense from 1 within the conversation. */
  seq: number;
  /** Counts only what makes unread; null otherwise. */
  n: number | null;
  id: Id;
  sender: Id;
  /** The sender's idempotency key. */
  client_id: string | null;
  ts: number;
  /** The `seq` of the event that this one changes. */
  target: number | null;
  body: B;
}

export type MessageEvent = Numbered<"message", { text: string }>;
export type PictureEvent = Numbered<"picture", PictureBody>;
export type ChatEvent =
  | MessageEvent
  | PictureEvent
  | Numbered<"picture.updated", Partial<PictureBody> & { job: string; state: PictureState }>
  | Numbered<
      "conversation.created",
      { kind: Conversation["kind"]; name: string; members: Member[] }
    >
  | Numbered<"member.added", { users: Id[] }>
  | Numbered<"member.removed", { user: Id; by: Id; owner?: Id }>;

/** What comes on `/user/queue/events` without a number. */
export type Notice =
  | { type: "conversation.removed"; conversation: Id }
  | { type: "cursor"; conversation: Id; read_seq: number; read_n: number };

export type PictureProgress = {
  type: "picture.progress";
  conversation: Id;
  seq: number;
  job: string;
} & (
  | { state: "queued"; position: number; ahead: number; eta_ms: number | null }
  | { state: "drawing"; step: number; steps: number; preview?: string | null }
);

export type Ephemeral = PictureProgress | { type: "typing"; conversation: Id; user: Id };

export interface Sync {
  token: string;
  /** The token was of no use: what is given is everything. */
  resync: boolean;
  user: Id;
  users: User[];
  conversations: (Conversation & { events: ChatEvent[]; limited: boolean })[];
  removed: Id[];
  cursors?: Record<Id, [read_seq: number, read_n: number]>;
  progress: PictureProgress[];
}

export interface Limits {
  text_chars: number;
  prompt_chars: number;
  name_chars: number;
  password_min: number;
}

export interface ServerInfo {
  name: string;
  version: string;
  setup_needed: boolean;
  guests: boolean;
  limits: Limits;
}

export interface Me {
  user: User;
  session: string;
}

export interface Invite {
  link: string;
  token: string;
  expires: number;
}

export interface Refusal {
  code: string;
  message: string;
  field?: string;
  params?: Record<string, unknown>;
  retry_after?: number;
}
