/** A client to be killed: says when it is there, asks what it is told to, and says when its answer begins. */
const [address] = Deno.args;
console.log("ready");
const buffer = new Uint8Array(1 << 16);
const length = await Deno.stdin.read(buffer); // one line, written at once
const asking = fetch(`http://${address}/v1/completions`, {
  method: "POST",
  headers: { authorization: "Bearer secret", "content-type": "application/json" },
  body: buffer.subarray(0, length!),
});
console.log("asked");
for await (const _ of (await asking).body!) console.log("begun");
console.log("answered");
