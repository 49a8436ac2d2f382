/** GET / and /page/*: the page for people, static files that ask for no key and hold nothing secret. */
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers"; // names every such header, with defaults that are kept up to date
import chat from "./page/chat.js" with { type: "text" };
import elements from "./page/elements.js" with { type: "text" };
import icon from "./page/icon.svg" with { type: "text" };
import html from "./page/index.html" with { type: "text" };
import main from "./page/main.js" with { type: "text" };
import pairs from "./page/pairs.js" with { type: "text" };
import prefer from "./page/prefer.js" with { type: "text" };
import style from "./page/page.css" with { type: "text" };
import server from "./page/server.js" with { type: "text" };

const SCRIPT = "text/javascript; charset=utf-8";

const FILES: Readonly<Record<string, [type: string, content: string]>> = {
  "/": ["text/html; charset=utf-8", html],
  "/page/page.css": ["text/css; charset=utf-8", style],
  "/page/icon.svg": ["image/svg+xml", icon],
  "/page/main.js": [SCRIPT, main],
  "/page/elements.js": [SCRIPT, elements],
  "/page/server.js": [SCRIPT, server],
  "/page/chat.js": [SCRIPT, chat],
  "/page/prefer.js": [SCRIPT, prefer],
  "/page/pairs.js": [SCRIPT, pairs],
};

/** Where the page's files are. */
export const PAGE_PATHS = Object.keys(FILES);

export function pageRoutes(): Hono {
  const app = new Hono();
  const headers = secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: "DENY",
    strictTransportSecurity: false, // for whoever puts TLS in front to say
  });
  for (const [path, [type, content]] of Object.entries(FILES)) {
    app.get(
      path,
      headers,
      (context) =>
        context.body(content, 200, { "content-type": type, "cache-control": "no-cache" }),
    );
  }
  return app;
}
