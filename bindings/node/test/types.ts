// Compiled, not run: the types say what the package does.

import { Refused, Verifier, express, fastify, generate, schemes, type Verified } from "hookward";

const verifier = new Verifier("github", ["new", Buffer.from("old")], { toleranceS: 60, origin: "https://example.com", parameters: {} });
const verified: Verified = verifier.verify(Buffer.from("{}"), new Headers(), { url: "/hook", now: Date.now() });
const version: number = verified.keyVersion;
const id: string | undefined = verified.id;
verifier.verify("{}", { "x-one": ["a", "b"], "x-two": undefined });
verifier.verify(new Uint8Array(), [["x-one", "a"]]);
const listed: string[] = [...schemes(), generate("github")];
const own: Verifier = Verifier.fromFile("ours.toml", "secret");
verifier.verifyRequest(new Request("https://example.com")).then(({ body, binds }) => [body.length, binds.time]);
express(own, { limit: 10, onRefused: (refused: Refused) => console.log(refused.code) });
const plugin: Promise<void> = fastify({}, { verifier });
// @ts-expect-error: a parsed body is not its bytes
verifier.verify({ parsed: true }, {});
// @ts-expect-error: the code is the library's to say
new Refused("a", "b").code = "c";
export { id, listed, plugin, version };
