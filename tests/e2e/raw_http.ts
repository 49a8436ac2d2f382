/** Requests as bytes on a socket: what no client that keeps to HTTP would send, or would clean up before. */

export interface RawReply {
  /** 0: the server closed without an answer. */
  status: number;
  headers: string;
  body: string;
  /** Everything, further answers too. */
  text: string;
}

/** A connection that is open until it is disposed of. */
export class RawConnection implements Disposable {
  private constructor(readonly socket: Deno.TcpConn) {}

  static async open(address: string): Promise<RawConnection> {
    const [hostname, port] = address.split(":");
    return new RawConnection(await Deno.connect({ hostname, port: Number(port) }));
  }

  /** Sends all bytes, as far as the server takes them. */
  async send(data: string | Uint8Array): Promise<void> {
    let rest = typeof data === "string" ? new TextEncoder().encode(data) : data;
    try {
      while (rest.length > 0) rest = rest.subarray(await this.socket.write(rest));
    } catch (error) {
      if (!isBroken(error)) throw error; // the server has said enough and closed
    }
  }

  /** Reads until the server closes, or until what it said fulfils a condition. */
  async receive(isEnough: (text: string) => boolean = () => false): Promise<RawReply> {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(1 << 16);
    let text = "";
    try {
      while (!isEnough(text)) {
        const count = await this.socket.read(buffer);
        if (count === null) break;
        text += decoder.decode(buffer.subarray(0, count), { stream: true });
      }
    } catch (error) {
      if (!isBroken(error)) throw error;
    }
    const [headers, ...rest] = text.split("\r\n\r\n");
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(headers)?.[1] ?? 0);
    return { status, headers, body: rest.join("\r\n\r\n"), text };
  }

  [Symbol.dispose](): void {
    this.socket.close();
  }
}

function isBroken(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.BrokenPipe;
}

/** Sends one request, and reads until the server closes, or until its words match. */
export async function rawRequest(
  address: string,
  data: string | Uint8Array,
  enough?: RegExp,
): Promise<RawReply> {
  using connection = await RawConnection.open(address);
  await connection.send(data);
  return await connection.receive(enough && ((text) => enough.test(text)));
}
