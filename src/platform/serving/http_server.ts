/** The socket under the app. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { type AddressInfo, isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
// Hono's own adapter. Deno.serve needs none, but in Deno 2.9 it waits for headers and bodies without end, leaves connections open
// that it said it would close, and misses clients that leave before their answer if their request was longer than a few hundred
// bytes. Deno's node:http does none of this.
import { getRequestListener } from "@hono/node-server";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ApiError, errorBody } from "../../../routes/errors.ts";
import { UserError } from "../../errors.ts";

/** Seconds that a client may keep an idle connection. Node's own 5 are httpx's too, which could then send into one that closes. */
const KEEP_ALIVE = 75;
/** Headers are short. */
const MOST_HEADER_SECONDS = 60;
/** Seconds between looks at what has not come in whole; each look takes about 20 ms of a core on two slow ones. */
const BETWEEN_LOOKS = 5;

/** What a request that has not become one gets, by Node's name for the fault. */
const REFUSALS: Readonly<Record<string, [status: ContentfulStatusCode, message: string]>> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Expected a whole request within --timeout, found it unfinished"],
  HPE_HEADER_OVERFLOW: [431, "Expected shorter headers or a shorter path"],
};

/** Seconds for answers to say that they were broken off; a guess. */
const LAST_WORDS = 1;

export interface HttpServer {
  /** As a URL has it: `127.0.0.1:8080`. */
  address: string;
  /** Takes no more requests, and resolves when those in work have their answers. */
  close(): Promise<void>;
  /** Ends what is in work, once it has had a moment to say so. */
  breakOff(): void;
}

/**
 * Listens for requests.
 *
 * @param timeout Seconds that a request may take to come in whole; soon after it gets 408, and the connection is closed.
 * @param fetch Answers them.
 * @throws {UserError} If it cannot listen there.
 */
export async function listen(
  { host, port, timeout }: { host: string; port: number; timeout: number },
  fetch: (request: Request) => Response | Promise<Response>,
): Promise<HttpServer> {
  checkMayListen(host);
  const answers = new WeakMap<Duplex, ServerResponse>();
  let inWork = 0;
  let closing = false;
  let end: ReturnType<typeof setTimeout> | undefined;
  const server = createServer({
    requestTimeout: 1000 * timeout,
    headersTimeout: 1000 * Math.min(timeout, MOST_HEADER_SECONDS),
    connectionsCheckingInterval: 1000 * Math.min(BETWEEN_LOOKS, timeout / 2),
    keepAliveTimeout: 1000 * KEEP_ALIVE,
  }, getRequestListener(fetch, { hostname: host, errorHandler: unreadable }));
  server.on("request", (request: IncomingMessage, answer: ServerResponse) => {
    answers.set(request.socket, answer);
    inWork++;
    answer.on("close", () => {
      inWork--;
      if (closing) closeUnused();
    });
  });
  server.on("clientError", (error: Error & { code?: string }, socket) => {
    const answer = answers.get(socket);
    const isAnswering = answer?.headersSent && !answer.writableFinished;
    if (!socket.writable || isAnswering) return void socket.destroy();
    const [status, message] = REFUSALS[error.code ?? ""] ??
      [400, "Expected a request in HTTP/1.1, found something else"];
    socket.end(wholeAnswer(status, message));
  });
  /** Connections on which nothing is answered; with nothing in work, those too that have begun a request. */
  const closeUnused = () =>
    inWork === 0 ? server.closeAllConnections() : server.closeIdleConnections();
  server.listen(port, host);
  try {
    await once(server, "listening");
  } catch (error) {
    throw listenError(error as Error & { code?: string }, host, port);
  }
  const { address, port: found } = server.address() as AddressInfo;
  return {
    address: `${isIPv6(address) ? `[${address}]` : address}:${found}`,
    async close() {
      closing = true;
      const closed = once(server, "close");
      server.close();
      closeUnused();
      await closed;
      clearTimeout(end);
    },
    breakOff() {
      end = setTimeout(() => server.closeAllConnections(), 1000 * LAST_WORDS);
    },
  };
}

/** Beforehand, for Node's module would end the process. */
function checkMayListen(host: string): void {
  const name = isIPv6(host) ? `[${host}]` : host;
  if (!URL.canParse(`http://${name}`)) {
    throw new UserError(`Expected --host to be a name or an address, found "${host}"`);
  }
  if (Deno.permissions.querySync({ name: "net", host: name }).state === "granted") return;
  throw new UserError(
    `Expected a --host that the serve task may listen on, found ${host}: ` +
      "add it to the permissions of serve in deno.json",
  );
}

function listenError(error: Error & { code?: string }, host: string, port: number): Error {
  if (error.code === "EADDRINUSE") {
    return new UserError(
      `Expected port ${port} to be free, found it in use: choose another --port`,
    );
  }
  return new UserError(`Cannot listen on ${host}: ${error.message}`);
}

/** For requests of which no URL can be made. */
function unreadable(): Response {
  const { status, body } = errorBody(new ApiError(400, "Expected a path of a URL and a Host"));
  return Response.json(body, { status });
}

/** For what has not become a request, in bytes. */
function wholeAnswer(status: ContentfulStatusCode, message: string): string {
  const body = JSON.stringify(errorBody(new ApiError(status, message)).body);
  return `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}
