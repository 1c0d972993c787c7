/// <reference types="node" />

/** The raw bytes, before anything parsed them. */
export type Body = string | Uint8Array | ArrayBuffer;

/** `Headers`, other pairs, Node's `rawHeaders`, or an object. */
export type HeadersLike =
  | Iterable<[string, string]>
  | readonly string[]
  | Record<string, string | readonly string[] | undefined>;

/** A request is not believed. The message is for the operator's log; the sender hears 401 and nothing else. */
export class Refused extends Error {
  constructor(code: string, message: string);
  /** Stable: `signature-mismatch`, `timestamp-too-old`, … */
  readonly code: string;
}

/** What a proof covers. What it does not cover can be changed by whoever captures the request. */
export interface Binds {
  readonly body: boolean;
  readonly time: boolean;
  readonly url: boolean;
  readonly id: boolean;
  /** Some values of the body, where it is not covered as a whole. */
  readonly partOfBody: boolean;
  /** What tells a repeat: an id that is covered, or a body that no two honest requests share. */
  readonly unique: boolean;
}

export interface Verified {
  readonly scheme: string;
  /** Of several secrets the last given has version 1, the newest the highest. */
  readonly keyVersion: number;
  readonly id?: string;
  readonly eventType?: string;
  /** Unix time in milliseconds, where the scheme signs one. */
  readonly timestamp?: number;
  readonly binds: Binds;
  /** Of a kind that experts could make without the secret. */
  readonly isWeak: boolean;
}

/** What to answer, with status 200, a provider that makes sure of an endpoint. */
export interface Handshake {
  readonly contentType?: string;
  readonly headers: [string, string][];
  readonly body: string;
  /** The secret from now on. Nothing proves it: only for an endpoint that has never had one. */
  readonly adopts?: Buffer;
}

export interface Signed {
  readonly headers: [string, string][];
  readonly query: [string, string][];
  readonly signedBy: number[];
  /** The body to send instead, for a scheme whose proof stands in it. */
  readonly body?: Buffer;
}

export interface VerifierOptions {
  /** In place of the provider's, in seconds. */
  toleranceS?: number;
  /** Where the program is called, such as `https://example.com`, for providers that sign the URL. */
  origin?: string;
  /**
   * What a scheme leaves to be said for each endpoint: `{ app_key: "…" }`, or as `url` the URL that the provider has, where the program
   * is called under another one. Without one that it needs no verifier is made.
   */
  parameters?: Record<string, string>;
}

export interface RequestOptions {
  /** `POST` where nothing else is said. */
  method?: string;
  /** Matters where the scheme signs it or reads its query. */
  url?: string;
  /** Unix time in milliseconds. */
  now?: number;
}

/** A scheme with its secrets, the newest first. */
export class Verifier {
  constructor(scheme: string, secrets: Body | Iterable<Body>, options?: VerifierOptions);
  /** By a scheme of your own, given as the text of its file. */
  static fromToml(text: string, secrets: Body | Iterable<Body>, options?: VerifierOptions): Verifier;
  /** By the scheme in a file. An error in it names line, column and the nearest known name. */
  static fromFile(file: string, secrets: Body | Iterable<Body>, options?: VerifierOptions): Verifier;
  readonly scheme: string;
  /** @throws {Refused} */
  verify(body: Body, headers: HeadersLike, options?: RequestOptions): Verified;
  /** A Fetch `Request`, with the bytes that were proven. @throws {Refused} */
  verifyRequest(request: Request, options?: { now?: number }): Promise<Verified & { readonly body: Buffer }>;
  /** `undefined` for a request that is none. @throws {Refused} for one that is not to be answered */
  handshake(
    body: Body,
    headers: HeadersLike,
    options: RequestOptions & { method: string; token?: Body },
  ): Handshake | undefined;
  sign(body: Body, options?: RequestOptions & { id?: string; eventType?: string }): Signed;
}

/** A new secret in the format of a scheme of the catalog. */
export function generate(scheme: string): string;
/** The names of the catalog. */
export function schemes(): string[];
/** The file of a scheme of the catalog, to start one of your own from. */
export function schemeSource(scheme: string): string | undefined;

export interface WebOptions<Req> {
  /** The longest body, in bytes; 1 MiB where nothing else is said. Longer ones are answered 413. */
  limit?: number;
  /** What the provider was told, for a scheme that sends one back. */
  handshakeToken?: string;
  /** For the operator's log. */
  onRefused?: (refused: Refused, request: Req) => void;
}

/** Express: put it before anything that parses bodies. `req.body` is the proven bytes, `req.hookward` the proof. */
export function express(
  verifier: Verifier,
  options?: WebOptions<import("node:http").IncomingMessage>,
): (
  req: import("node:http").IncomingMessage & { body?: unknown; hookward?: Verified },
  res: import("node:http").ServerResponse,
  next: (error?: unknown) => void,
) => Promise<void>;

/** Fastify: register it in the context of the route. `request.body` is the proven bytes, `request.hookward` the proof. */
export function fastify(
  instance: any,
  options: WebOptions<unknown> & { verifier: Verifier },
): Promise<void>;
