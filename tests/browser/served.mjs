// The program under test, proxies in front of it, and the browser.
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const PROGRAM = process.env.GAIA_DASHBOARD ?? path.resolve('../../target/debug/examples/dashboard');
const CHROMIUM = process.env.CHROMIUM ?? execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim();

/** Waits until the question has a true answer; fails after a minute. */
export const until = async (what, ask) => {
  const end = Date.now() + 60_000;
  for (;;) {
    const answer = await ask().catch(error => { if (Date.now() > end) throw error; });
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
};

/** The example `dashboard` on a new SQLite file, or on the database of `GAIA_BROWSER_DATABASE`, which must be new, too. */
export const start = async (environment = {}) => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: cargo build --features web --example dashboard`);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'gaia-browser-'));
  const program = spawn(PROGRAM, [], {
    env: { ...process.env, DATABASE_URL: process.env.GAIA_BROWSER_DATABASE ?? `sqlite:${folder}/dashboard.db`, LISTEN: '127.0.0.1:0', ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  program.stdout.on('data', bytes => { said += bytes; });
  const address = await until('the address', async () => said.match(/http:\/\/[^/]+/)?.[0]);
  const api = `${address}/gaia/api/v1`;
  const ask = async (method, url, body) => {
    const answer = await fetch(api + url, {
      method, body: body && JSON.stringify(body), headers: body ? { 'content-type': 'application/json' } : {},
    });
    const text = await answer.text();
    return { status: answer.status, body: text && JSON.parse(text) };
  };
  const stop = async () => {
    program.kill('SIGTERM');
    if (program.exitCode === null) await once(program, 'exit');
    rmSync(folder, { recursive: true, force: true });
  };
  return { address, ask, stop };
};

/** A proxy that serves the pages under `prefix`; it takes the prefix away, or the program would have to know it. */
export const proxy = async (address, prefix) => {
  const server = http.createServer((request, answer) => {
    if (!request.url.startsWith(prefix)) { answer.writeHead(404).end(); return; }
    const url = new URL(address);
    const forwarded = http.request({
      host: url.hostname, port: url.port, method: request.method, headers: request.headers,
      path: `/gaia${request.url.slice(prefix.length)}`,
    }, from => { answer.writeHead(from.statusCode, from.headers); from.pipe(answer); });
    request.pipe(forwarded);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { address: `http://127.0.0.1:${server.address().port}${prefix}`, stop: () => server.close() };
};

export const browser = () => chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });

/** A page of the browser, and what went wrong on it. */
export const open = async (browser, options = {}) => {
  const context = await browser.newContext({ locale: 'en-GB', viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const faults = [];
  page.on('console', message => { if (message.type() === 'error') faults.push(message.text()); });
  page.on('pageerror', error => faults.push(String(error)));
  page.on('requestfailed', request => {
    const why = request.failure()?.errorText;
    if (why !== 'net::ERR_ABORTED') faults.push(`${request.url()}: ${why}`);
  });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', event => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  return { context, page, faults };
};
