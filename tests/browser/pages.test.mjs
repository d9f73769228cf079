// Every page: no console error, no violation of the policy, nothing that axe finds, no page wider than the screen.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { browser, open, proxy, start, until } from './served.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const HOSTILE = `"><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'{{7*7}}\u202e订单`;

let served, chrome, stripped, paths;

before(async () => {
  served = await start();
  chrome = await browser();
  stripped = await proxy(served.address, '/a/b/c');
  const task = { theme: 'orders', service: HOSTILE, method: 'M', name: HOSTILE, args: { [HOSTILE]: HOSTILE }, max_retry: 0 };
  const { body: { id } } = await served.ask('POST', '/tasks?wait_ms=5000', task);
  const job = { job_name: HOSTILE.replaceAll('\u202e', ''), cron_expr: '@yearly', service_name: 'Shop', service_method: HOSTILE };
  const { body: { id: job_id } } = await served.ask('POST', '/jobs', { ...job, job_type: 'cron_job' });
  // Something of every kind is there: attempts that failed, runs of jobs, counters of nodes.
  await until('failures', async () => (await served.ask('GET', '/tasks?status=Failed&theme=orders')).body.tasks.length > 0);
  const { id: run } = await until('runs', async () => (await served.ask('GET', '/runs')).body.runs?.[0]);
  await until('alerts', async () => (await served.ask('GET', '/alerts')).body.alerts?.length > 0);
  const nodes = (await served.ask('GET', '/nodes')).body.nodes;
  paths = ['', 'tasks', `tasks/${id}`, 'tasks?q=status:failed', 'tasks/bulk?action=retry&status=Failed&theme=orders', 'errors',
    'errors?theme=orders&since=24h', 'errors?attempts=all', 'methods', 'themes/orders', 'themes/newsletter', 'themes/a%2Fb', 'jobs', `jobs/${job_id}`,
    `jobs/${job_id}/edit`, `runs/${run}`, `tasks/${id}/log`, `runs/${run}/log`, 'jobs/new', 'nodes', `nodes/${nodes[0].id}`, 'audit', 'alerts', 'operations'];
});

after(async () => {
  await chrome?.close();
  stripped?.stop();
  await served?.stop();
});

const sound = async (page, faults, where) => {
  assert.deepEqual(faults.splice(0), [], where);
  assert.deepEqual(await page.evaluate(() => window.violations), [], where);
  assert.equal(await page.evaluate(() => window.hacked), undefined, where);
  const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= screen, `${where}: ${wide} px wide on a screen of ${screen}`);
};

for (const [name, options] of Object.entries({
  'light, wide': { colorScheme: 'light' },
  'dark, wide, Chinese': { colorScheme: 'dark', locale: 'zh-CN' },
  'light, phone, Chinese': { colorScheme: 'light', locale: 'zh-CN', viewport: { width: 375, height: 800 } },
  'dark, phone': { colorScheme: 'dark', viewport: { width: 375, height: 800 } },
})) {
  test(`every page is sound: ${name}`, async () => {
    const { context, page, faults } = await open(chrome, options);
    const told = [];
    for (const path of paths) {
      const where = `${path} (${name})`;
      const answer = await page.goto(`${served.address}/gaia/${path}`);
      assert.equal(answer.status(), 200, where);
      await sound(page, faults, where);
      await page.evaluate(AXE);
      const found = await page.evaluate(() => axe.run());
      told.push(...found.violations.map(one => `${where}: ${one.id}: ${one.nodes.map(node => node.target).join(' ')}`));
    }
    assert.deepEqual(told, []);
    await context.close();
  });
}

test('every page works behind a proxy that takes a prefix away, and each link leads to a page', async () => {
  const { context, page, faults } = await open(chrome);
  const seen = new Set();
  for (const path of paths) {
    const answer = await page.goto(`${stripped.address}/${path}`);
    assert.equal(answer.status(), 200, path);
    await sound(page, faults, path);
    for (const link of await page.$$eval('a[href]', links => links.map(link => link.href))) {
      assert.ok(link.startsWith(`${stripped.address}/`), `${path}: ${link} leads out`);
      seen.add(link.split('#')[0]);
    }
  }
  const links = [...seen].filter(link => !link.includes('/export')).slice(0, 150);
  for (const link of links) {
    const answer = await fetch(link);
    assert.ok(answer.ok, `${link}: ${answer.status}`);
    await answer.body?.cancel();
  }
  await context.close();
});

test('all files of a page together have less than 60 kB, compressed', async () => {
  const { context, page } = await open(chrome);
  const files = [];
  page.on('response', answer => { if (answer.url().includes('/assets/')) files.push(answer); });
  await page.goto(`${served.address}/gaia/themes/orders`, { waitUntil: 'networkidle' });
  let bytes = 0;
  for (const file of files) {
    assert.match((await file.allHeaders())['cache-control'], /immutable/, file.url());
    bytes += gzipSync(await file.body()).length;
  }
  assert.ok(files.length >= 5 && bytes < 60_000, `${files.length} files, ${bytes} bytes`);
  await context.close();
});

// A proxy that takes a prefix away knows alone what the root is called outside.
test('the root without its slash leads to the root', async () => {
  const root = `${served.address}/gaia`;
  const answer = await fetch(root);
  assert.ok(answer.ok && answer.url === `${root}/`, `${answer.status} ${answer.url}`);
});

test('every page works without scripts', async () => {
  const { context, page } = await open(chrome, { javaScriptEnabled: false });
  for (const path of paths) {
    const answer = await page.goto(`${served.address}/gaia/${path}`);
    assert.equal(answer.status(), 200, path);
    assert.ok(await page.locator('main h1').isVisible(), path);
  }
  await context.close();
});

test('without scripts the figures of a chart are there as an open table', async () => {
  const { context, page } = await open(chrome, { javaScriptEnabled: false });
  await until('what has ended', async () => {
    await page.goto(`${served.address}/gaia/themes/orders`);
    return page.locator('#ends-table tbody tr').count();
  });
  assert.ok(await page.locator('#ends-table tbody td').first().isVisible());
  assert.equal(await page.locator('[data-chart]').first().isVisible(), false);
  await context.close();
});

test('on a phone each row shows what it is about without being moved sideways', async () => {
  const { context, page } = await open(chrome, { viewport: { width: 375, height: 800 } });
  for (const path of ['', 'tasks?q=status:failed', 'errors', 'jobs', 'nodes', 'alerts']) {
    await page.goto(`${served.address}/gaia/${path}`);
    await page.locator('.cards tbody tr').first().waitFor();
    const hidden = await page.$$eval('.cards tbody td, .cards tbody button, .cards tbody a', parts => parts
      .filter(part => part.getBoundingClientRect().right > innerWidth).map(part => part.outerHTML.slice(0, 200)));
    assert.deepEqual(hidden, [], path);
    const moved = await page.$$eval('.scroll:has(.cards)', parts => parts.filter(part => part.scrollWidth > part.clientWidth).length);
    assert.equal(moved, 0, path);
  }
  await page.goto(`${served.address}/gaia/tasks?q=status:failed`);
  const row = page.locator('.cards tbody tr').first();
  assert.ok(await row.locator('.status').isVisible() && await row.locator('.error').isVisible());
  await page.locator('#select-all').check();
  assert.ok(await row.locator('input[name=id]').isChecked());
  await context.close();
});

test('Tab stays inside of a question until it is closed', async () => {
  const { context, page } = await open(chrome);
  await page.goto(`${served.address}/gaia/themes/orders`);
  await page.getByRole('button', { name: 'Pause' }).first().click();
  const inside = () => page.evaluate(() => !!document.activeElement.closest('[popover]:popover-open'));
  const reached = new Set();
  for (const key of ['Tab', 'Tab', 'Tab', 'Tab', 'Tab', 'Shift+Tab', 'Shift+Tab', 'Shift+Tab', 'Shift+Tab', 'Shift+Tab']) {
    await page.keyboard.press(key);
    assert.ok(await inside(), key);
    reached.add(await page.evaluate(() => document.activeElement.name || document.activeElement.innerText));
  }
  assert.equal(reached.size, 3, [...reached].join());
  await page.keyboard.press('Escape');
  assert.equal(await page.locator('[popover]:popover-open').count(), 0);
  await context.close();
});

test('language, appearance and refresh are kept, and lead back to the page', async () => {
  const { context, page, faults } = await open(chrome);
  await page.goto(`${stripped.address}/tasks?q=status:failed`);
  await page.locator('.settings summary').click();
  await page.locator('select[name=language]').selectOption('zh-CN');
  await page.locator('select[name=scheme]').selectOption('dark');
  await page.locator('select[name=refresh]').selectOption('0');
  await page.locator('.settings button').click();
  await page.waitForURL(`${stripped.address}/tasks?q=status:failed`);
  assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN');
  assert.equal(await page.locator('html').getAttribute('data-scheme'), 'dark');
  await page.goto(`${stripped.address}/themes/orders`);
  assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN');
  assert.equal(await page.locator('main').getAttribute('data-refresh'), null);
  await sound(page, faults, 'settings');
  await context.close();
});

test('a refresh keeps ticked boxes, scroll, focus, open folds and typed text', async () => {
  const { context, page, faults } = await open(chrome, { viewport: { width: 1280, height: 500 } });
  await context.addCookies([{ name: 'gaia_refresh', value: '2', url: `${served.address}/gaia/` }]);
  await page.goto(`${served.address}/gaia/tasks`);
  await page.evaluate(() => { window.refreshes = 0; document.addEventListener('htmx:after:swap', () => { window.refreshes += 1; }); });
  await until('a refresh', () => page.evaluate(() => window.refreshes > 0));
  await page.evaluate(() => scrollTo(0, 180));
  const before = await page.evaluate(() => window.refreshes);
  await until('another refresh', async () => (await page.evaluate(() => window.refreshes)) > before);
  assert.equal(await page.evaluate(() => scrollY), 180);
  const box = page.locator('input[name=id]').first();
  await box.check();
  const ticked = await page.evaluate(() => window.refreshes);
  await page.waitForTimeout(4_500);
  assert.equal(await page.evaluate(() => window.refreshes), ticked, 'nothing is refreshed while something is selected');
  assert.ok(await box.isChecked());
  await box.uncheck();
  await until('the refreshes go on', async () => (await page.evaluate(() => window.refreshes)) > ticked);
  await sound(page, faults, 'refresh');
  await context.close();
});
