/** GET / and /page/*: the page for people, static files that ask for no key and hold nothing secret. */
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers"; // names every such header, with defaults that are kept up to date
// Draws curves on a canvas, fast enough for every step of a run, in 51 kB without dependencies; it is served as it comes.
import uplot from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uplotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import actions from "./page/actions.js" with { type: "text" };
import chat from "./page/chat.js" with { type: "text" };
import comparison from "./page/comparison.js" with { type: "text" };
import curves from "./page/curves.js" with { type: "text" };
import elements from "./page/elements.js" with { type: "text" };
import icon from "./page/icon.svg" with { type: "text" };
import html from "./page/index.html" with { type: "text" };
import job from "./page/job.js" with { type: "text" };
import jobRequest from "./page/job_request.js" with { type: "text" };
import jobs from "./page/jobs.js" with { type: "text" };
import main from "./page/main.js" with { type: "text" };
import measures from "./page/measures.js" with { type: "text" };
import pairs from "./page/pairs.js" with { type: "text" };
import prefer from "./page/prefer.js" with { type: "text" };
import style from "./page/page.css" with { type: "text" };
import report from "./page/report.js" with { type: "text" };
import runs from "./page/runs.js" with { type: "text" };
import server from "./page/server.js" with { type: "text" };
import trainingStyle from "./page/training.css" with { type: "text" };
import train from "./page/train.js" with { type: "text" };

const SCRIPT = "text/javascript; charset=utf-8";

const FILES: Readonly<Record<string, [type: string, content: string]>> = {
  "/": ["text/html; charset=utf-8", html],
  "/page/page.css": ["text/css; charset=utf-8", style],
  "/page/training.css": ["text/css; charset=utf-8", trainingStyle],
  "/page/uplot.css": ["text/css; charset=utf-8", uplotStyle],
  "/page/icon.svg": ["image/svg+xml", icon],
  "/page/main.js": [SCRIPT, main],
  "/page/actions.js": [SCRIPT, actions],
  "/page/elements.js": [SCRIPT, elements],
  "/page/server.js": [SCRIPT, server],
  "/page/chat.js": [SCRIPT, chat],
  "/page/prefer.js": [SCRIPT, prefer],
  "/page/pairs.js": [SCRIPT, pairs],
  "/page/train.js": [SCRIPT, train],
  "/page/job_request.js": [SCRIPT, jobRequest],
  "/page/jobs.js": [SCRIPT, jobs],
  "/page/job.js": [SCRIPT, job],
  "/page/runs.js": [SCRIPT, runs],
  "/page/comparison.js": [SCRIPT, comparison],
  "/page/report.js": [SCRIPT, report],
  "/page/measures.js": [SCRIPT, measures],
  "/page/curves.js": [SCRIPT, curves],
  "/page/uplot.js": [SCRIPT, uplot],
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
