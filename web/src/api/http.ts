import type { Refusal } from "./types";

/** A request that was refused (`status` ≥ 400) or did not arrive (`status` 0). */
export class ApiError extends Error {
  readonly code: string;
  readonly field?: string;
  readonly params: Record<string, unknown>;
  readonly retryAfter?: number;

  constructor(
    readonly status: number,
    refusal: Refusal,
  ) {
    super(refusal.message);
    this.name = "ApiError";
    this.code = refusal.code;
    this.field = refusal.field;
    this.params = refusal.params ?? {};
    this.retryAfter = refusal.retry_after;
  }

  /** Nothing was answered: the same request may be tried again as it is. */
  get unreachable(): boolean {
    return this.status === 0;
  }
}

const TIMEOUT_MS = 20_000;

/**
 * Ask the server.
 *
 * @throws ApiError in every case that is not a 2xx answer.
 */
export async function request<T>(
  method: "GET" | "POST" | "DELETE",
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch {
    throw new ApiError(0, { code: "unreachable", message: "The server did not answer." });
  }
  if (response.status === 204) return undefined as T;
  const text = await response.text().catch(() => "");
  const answer = parse(text);
  if (!response.ok) throw new ApiError(response.status, asRefusal(answer, response.status));
  return answer as T;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Proxies answer in HTML and frameworks in their own shape: give both a code. */
function asRefusal(answer: unknown, status: number): Refusal {
  const said = answer as Partial<Refusal> | undefined;
  if (said && typeof said.code === "string") {
    return { ...said, code: said.code, message: said.message ?? said.code };
  }
  return status >= 500
    ? { code: "unavailable", message: `The server answered ${status}.` }
    : { code: "invalid", message: `The request was refused (${status}).` };
}
