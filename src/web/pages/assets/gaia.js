// Refreshes pages, shows times in the reader's zone, draws charts. Pages work without it.
'use strict';
(() => {
  const main = () => document.getElementById('main');
  const show = (id, is_shown) => { document.getElementById(id).hidden = !is_shown; };
  let stopped = false;
  let last = Date.now();

  // ---- refresh ----

  // Nothing moves while somebody selects rows or text, types, or has a menu or a question open.
  const is_busy = () => {
    const focus = document.activeElement;
    const is_typing = focus && focus.matches('input:not([type=checkbox]), textarea, select') && main().contains(focus);
    return is_typing || main().querySelector('input[type=checkbox]:checked, :popover-open, dialog[open]')
      || !document.getSelection().isCollapsed;
  };

  const tick = () => {
    const seconds = Number(main().dataset.refresh || 0);
    if (!seconds || stopped || document.hidden || is_busy()) return;
    // A tenth more or less, so that open pages do not ask all at once.
    if (Date.now() - last < seconds * 1000 * (0.9 + Math.random() * 0.2)) return;
    last = Date.now();
    document.body.dispatchEvent(new CustomEvent('gaia:tick'));
  };
  setInterval(tick, 250);

  document.addEventListener('htmx:before:swap', event => {
    const status = event.detail.ctx?.response?.raw?.status ?? event.detail.ctx?.response?.status;
    show('offline', status >= 500);
    if (status === 401 || status === 403) { stopped = true; show('stopped', true); }
    if (status >= 400) event.preventDefault();
  });
  document.addEventListener('htmx:error', () => show('offline', true));
  document.addEventListener('htmx:after:swap', () => ready());

  // ---- times ----

  const exact = new Intl.DateTimeFormat(document.documentElement.lang,
    { dateStyle: 'medium', timeStyle: 'medium', timeZone: undefined });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  // ---- charts ----

  // A canvas knows no variables and no light-dark(): what an element makes of them, it knows.
  const colour = name => {
    const probe = document.createElement('i');
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
  const ticks = {
    short: new Intl.DateTimeFormat(document.documentElement.lang, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }),
    long: new Intl.DateTimeFormat(document.documentElement.lang, { month: 'numeric', day: 'numeric' }),
  };
  // A value between two gaps makes no line: it is shown as a point.
  const alone = values => values.flatMap((value, i) =>
    value != null && values[i - 1] == null && values[i + 1] == null ? [i] : []);
  const draw = chart => {
    const { time, times, series, unit } = JSON.parse(chart.dataset.chart);
    const tick = times.at(-1) - times[0] > 2 * 86400 ? ticks.long : ticks.short;
    const at = seconds => new Date(seconds * 1000);
    const text = colour('--faint');
    const axis = { stroke: text, grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
    const plot = new uPlot({
      width: chart.clientWidth, height: 190, cursor: { drag: { x: false, y: false } }, legend: { live: true },
      scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.05] } },
      axes: [{ ...axis, size: 32, values: (_, splits) => splits.map(split => tick.format(at(split))) }, { ...axis, size: 56, values: (_, splits) => splits.map(split => `${split.toLocaleString()}${unit && ` ${unit}`}`) }],
      series: [{ label: time, value: (_, value) => value == null ? '–' : exact.format(at(value)) }, ...series.map(one => ({
        label: one.name, stroke: colour(one.colour), width: 1.5, fill: one.fill ? colour(one.fill) : undefined,
        points: { show: true, size: 5, filter: (plot, index) => alone(plot.data[index]) },
        value: (_, value) => value == null ? '–' : `${value.toLocaleString()} ${unit}`,
      }))],
    }, [times, ...series.map(one => one.values)], chart);
    chart.plot = plot;
  };
  addEventListener('resize', () => document.querySelectorAll('[data-chart]').forEach(chart =>
    chart.plot?.setSize({ width: chart.clientWidth, height: 190 })));

  const ready = () => {
    for (const time of document.querySelectorAll('time[datetime]:not([data-local])')) {
      time.dataset.local = '';
      time.title = `${exact.format(new Date(time.dateTime))} (${zone})\n${time.dateTime}`;
    }
    for (const chart of document.querySelectorAll('[data-chart]')) {
      if (chart.drawn === chart.dataset.chart && chart.contains(chart.plot?.root)) continue;
      chart.plot?.destroy();
      chart.drawn = chart.dataset.chart;
      draw(chart);
    }
  };

  // ---- selection ----

  document.addEventListener('change', event => {
    if (!event.target.matches('[data-select-all]')) return;
    for (const box of event.target.closest('form').querySelectorAll('input[name=id]')) box.checked = event.target.checked;
  });

  // ---- questions ----

  // Tab stays inside of a question while it is open.
  document.addEventListener('keydown', event => {
    const open = event.key === 'Tab' && document.querySelector('[popover]:popover-open');
    if (!open) return;
    const stops = [...open.querySelectorAll('input:not([type=hidden]), select, textarea, button, a[href]')];
    const [from, to] = event.shiftKey ? [stops[0], stops.at(-1)] : [stops.at(-1), stops[0]];
    if (document.activeElement !== from && open.contains(document.activeElement)) return;
    event.preventDefault();
    to.focus();
  });

  // What was just done is told once: not again when the page is loaded anew.
  const here = new URL(location.href);
  if (here.searchParams.has('done')) {
    here.searchParams.delete('done');
    history.replaceState(history.state, '', here);
  }
  document.querySelector('.top nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });

  ready();
})();
