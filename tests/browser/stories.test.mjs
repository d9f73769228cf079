// What operators ask and do at three in the morning, each in few clicks.
import assert from 'node:assert/strict';
import { after, before, beforeEach, afterEach, test } from 'node:test';
import { browser, open, start, until } from './served.mjs';

let served, chrome, page, context, faults, root;

before(async () => {
  served = await start();
  chrome = await browser();
  root = `${served.address}/gaia/`;
  await until('failures', async () => (await served.ask('GET', '/tasks?status=Failed&theme=orders')).body.tasks.length > 0);
});

after(async () => {
  await chrome?.close();
  await served?.stop();
});

beforeEach(async () => {
  ({ context, page, faults } = await open(chrome));
  await page.goto(root);
});

afterEach(async () => {
  assert.deepEqual(faults, []);
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  await context.close();
});

const menu = async name => {
  const link = page.locator('.top nav').getByRole('link', { name, exact: true });
  await link.click();
  await page.locator('.top nav a[aria-current=page]', { hasText: name }).waitFor();
};

/** Waits until the text of an element matches: pages renew themselves, and the program goes on meanwhile. */
const shows = async (element, pattern) => {
  let text;
  await until(pattern, async () => {
    text = await element.innerText();
    return pattern.test(text);
  }).catch(error => { throw new Error(`${error.message}; last seen: ${text}`); });
};

/** Opens the question of a button, answers it with a reason, and waits for the page after it. */
const confirm = async (button, reason) => {
  await button.click();
  const question = page.locator('[popover]:popover-open');
  await question.locator('input[name=reason]').fill(reason);
  await question.locator('button.main').click();
  await page.locator('.notice.good').first().waitFor();
};

test('what fails, why, and since when', async () => {
  await until('a card that is expired', async () => (await served.ask('GET', '/tasks?status=Failed&theme=orders&q=error:card')).body.tasks.length > 0);
  await menu('Errors');
  const row = page.locator('tbody tr', { hasText: 'the card of order' }).first();
  await shows(row, /Order\.Pay/);
  assert.match(await row.locator('time').first().getAttribute('datetime'), /Z$/);
});

test('how many wait, how long the oldest, and what nobody works on', async () => {
  const waiting = page.locator('tr#theme-newsletter');
  await waiting.locator('time').first().waitFor();
  await shows(waiting, /^newsletter\s+Paused[^]*\s[1-9]\d*\s+[\d.]+ [^\n]* ago/);
  assert.match(await waiting.locator('time').first().getAttribute('datetime'), /Z$/);
  const worries = page.locator('main .list');
  await shows(worries, /imports: .* no node has workers/);
  await shows(worries, /newsletter: Paused by the night shift: the text has a mistake/);
});

test('which node is alive, and how busy', async () => {
  await menu('Nodes');
  await until('two nodes', async () => (await page.locator('tbody .status.good').count()) === 2);
  assert.equal(await page.locator('tbody tr').count(), 2);
});

test('all failed tasks of one method are retried, after a look at what that is', async () => {
  await until('a failed task', async () => (await served.ask('GET', '/tasks?status=Failed&service=Order&method=Pay')).body.tasks.length > 0);
  await page.goto(`${root}tasks`);
  await page.locator('input[name=q]').fill('status:failed method:Order.Pay newer:2h');
  await page.getByRole('button', { name: 'Search' }).click();
  const found = page.locator('button[name=action][value=retry]').last();
  await found.click();
  await page.waitForURL(/tasks\/bulk/);
  await shows(page.locator('main'), /[0-9]+ tasks?/);
  await page.locator('input[name=reason]').fill('the bank works again');
  await page.locator('main form[method=post] button.main').click();
  await page.waitForURL(/operations\/[0-9]+/);
  await shows(page.locator('main'), /the bank works again/);
  const audit = (await served.ask('GET', '/audit?action=task.bulk')).body.entries;
  assert.equal(audit[0].reason, 'the bank works again');
});

test('a theme is paused with a reason, which everybody sees, and resumed', async () => {
  await page.locator('tr#theme-mail a').first().click();
  await confirm(page.getByRole('button', { name: 'Pause' }).first(), 'the mail server moves');
  await shows(page.locator('main'), /the mail server moves/);
  await page.goto(root);
  await shows(page.locator('main .list'), /mail: Paused by loopback: the mail server moves/);
  await menu('Audit');
  await shows(page.locator('tbody tr').first(), /Pause a theme[\s\S]*the mail server moves/);
  await page.goto(`${root}themes/mail`);
  await page.getByRole('button', { name: 'Resume' }).first().click();
  await until('the theme takes tasks', async () => !(await served.ask('GET', '/themes/mail')).body.paused);
});

test('a class of tasks is cancelled', async () => {
  await until('a letter', async () => (await served.ask('GET', '/tasks?theme=newsletter&status=Wait')).body.tasks.length > 0);
  await page.goto(`${root}tasks?q=theme:newsletter`);
  await page.locator('button[name=action][value=cancel]').last().click();
  await page.waitForURL(/tasks\/bulk/);
  await page.locator('main form[method=post] button.main').click();
  await page.waitForURL(/operations\/[0-9]+/);
  await until('cancelled', async () => (await served.ask('GET', '/tasks?theme=newsletter&status=Cancelled')).body.tasks.length > 0);
});

test('a schedule is changed after a look at its next ten fires', async () => {
  await menu('Jobs');
  await page.getByRole('link', { name: 'monthly report' }).click();
  await page.getByRole('link', { name: 'Edit' }).click();
  const cron = page.locator('input[name=cron_expr]');
  await cron.fill('0 0 25 * * *');
  await page.getByRole('button', { name: 'next ten' }).click();
  await page.locator('.fault').first().waitFor();
  assert.equal(await cron.inputValue(), '0 0 25 * * *');
  await cron.fill('0 30 7 1 * *');
  await page.getByRole('button', { name: 'next ten' }).click();
  await until('ten fires', async () => (await page.locator('main li:has(time)').count()) >= 10);
  await shows(page.locator('main'), /07:30/);
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.notice.good').first().waitFor();
  await shows(page.locator('main'), /0 30 7 1 \* \*/);
});

test('a job runs now', async () => {
  await menu('Jobs');
  await page.getByRole('link', { name: 'monthly report' }).click();
  await confirm(page.getByRole('button', { name: 'Run now' }).first(), 'the board meets today');
  await page.waitForURL(/runs\/[0-9]+/);
  const run = (await served.ask('GET', '/runs')).body.runs.find(run => run.job_name === 'monthly report');
  await shows(page.locator('main'), new RegExp(`Run ${run.id}[^]*monthly report`));
});

test('what happened to one task, attempt by attempt', async () => {
  // The story before has retried those that had failed.
  const task = await until('a failed task', async () => (await served.ask('GET', '/tasks?status=Failed&theme=orders&limit=1')).body.tasks[0]);
  await page.goto(`${root}tasks`);
  await page.locator('input[name=q]').fill(`id:${task.id}`);
  await page.getByRole('button', { name: 'Search' }).click();
  await page.locator('tbody a').first().click();
  await shows(page.locator('main h1'), /pay order/);
  assert.ok((await page.locator('tbody tr').count()) >= 1);
});

test('everything is reached by the keyboard', async () => {
  await page.goto(`${root}tasks`);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  const names = new Set();
  for (let press = 0; press < 30; press += 1) {
    await page.keyboard.press('Tab');
    names.add(await page.evaluate(() => document.activeElement.name ?? document.activeElement.tagName));
  }
  assert.ok(names.has('q') && names.has('id'), [...names].join());
});

test('a method is limited, and its limit lifted', async () => {
  await menu('Methods');
  await page.locator('.card').first().getByRole('link', { name: 'Mail.Send' }).click();
  await page.getByRole('button', { name: 'Set limit…' }).click();
  const question = page.locator('[popover]:popover-open');
  await question.locator('input[name=running]').fill('2');
  await question.locator('input[name=starts]').fill('1000');
  await question.locator('select[name=unit]').selectOption('h');
  await question.locator('input[name=running_per_key]').fill('1');
  await question.locator('input[name=reason]').fill('as the provider asks');
  await question.locator('button.main').click();
  await shows(page.locator('.figures'), /Limit[^]*\/ 2[^]*1,000 in 1 h/);
  await menu('Methods');
  const row = page.locator('.card', { hasText: 'Limits' }).locator('tbody tr', { hasText: 'Mail.Send' });
  await shows(row, /\/ 2[^]*1,000 in 1 h[^]*1 at once/);
  await confirm(row.getByRole('button', { name: 'Lift limit…' }), 'the provider has grown');
  await row.waitFor({ state: 'detached' });
});
