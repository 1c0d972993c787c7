// What Express and Fastify need: the raw body within a limit, one answer for every refusal, and the proof for the handler.
"use strict";

/** The longest body that is read where nothing else is said. */
const DEFAULT_LIMIT = 1024 * 1024;

/** What every refusal says, so that it tells a stranger nothing. */
const REFUSED = "not authentic\n";

module.exports = ({ Refused }) => {
  /** The proof, or what to answer in its place. */
  function judge(verifier, { method, url, headers, body, token }) {
    try {
      const handshake = verifier.handshake(body, headers, { method, url, token });
      if (!handshake) return { verified: verifier.verify(body, headers, { method, url }) };
      if (handshake.adopts) throw new Refused("no-usable-secret", "a secret came by handshake, and there is nowhere to keep it");
      const contentType = handshake.contentType ? [["content-type", handshake.contentType]] : [];
      return { status: 200, headers: [...contentType, ["x-content-type-options", "nosniff"], ...handshake.headers], body: handshake.body };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { status: 401, headers: [["content-type", "text/plain"]], body: REFUSED, refused: error };
    }
  }

  /** Express: put it before anything that parses bodies. `req.body` is the proven bytes, `req.hookward` the proof. */
  function express(verifier, { limit = DEFAULT_LIMIT, handshakeToken: token, onRefused } = {}) {
    return async function hookward(req, res, next) {
      try {
        const body = await rawBody(req, limit);
        if (body === undefined) return void res.writeHead(413, { connection: "close" }).end("too large\n");
        const { method, rawHeaders: headers } = req;
        const outcome = judge(verifier, { method, url: req.originalUrl ?? req.url, headers, body, token });
        if (!outcome.verified) {
          if (outcome.refused) onRefused?.(outcome.refused, req);
          return void res.writeHead(outcome.status, Object.fromEntries(outcome.headers)).end(outcome.body);
        }
        Object.assign(req, { body, hookward: outcome.verified });
      } catch (error) {
        return next(error);
      }
      next();
    };
  }

  /** Fastify: register it in the context of the route. `request.body` is the proven bytes, `request.hookward` the proof. */
  async function fastify(instance, { verifier, limit = DEFAULT_LIMIT, handshakeToken: token, onRefused }) {
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: limit }, (_request, body, done) => done(null, body));
    instance.decorateRequest("hookward", null);
    instance.addHook("preValidation", async (request, reply) => {
      request.body ??= Buffer.alloc(0);
      const { method, url, rawHeaders: headers } = request.raw;
      const outcome = judge(verifier, { method, url, headers, body: request.body, token });
      if (!outcome.verified) {
        if (outcome.refused) onRefused?.(outcome.refused, request);
        return reply.code(outcome.status).headers(Object.fromEntries(outcome.headers)).send(outcome.body);
      }
      request.hookward = outcome.verified;
    });
  }
  // So that the hook is the route's context's, and not one of its own below it.
  fastify[Symbol.for("skip-override")] = true;

  return { express, fastify };
};

/** The bytes of a request, `undefined` if they are more than the limit. */
async function rawBody(req, limit) {
  if (Buffer.isBuffer(req.body)) return req.body.length > limit ? undefined : req.body;
  if (req.readableEnded || req.readableDidRead) {
    throw new Error("something read the body already: put hookward before express.json() and the like");
  }
  if (Number(req.headers["content-length"] ?? 0) > limit) return undefined;
  const chunks = [];
  let length = 0;
  for await (const chunk of req) {
    length += chunk.length;
    if (length > limit) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
