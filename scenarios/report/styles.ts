/** The look of all reports: light and dark, narrow and wide, on screen and on paper. */
export const STYLES = `
:root {
  color-scheme: light dark;
  --back: #ffffff; --panel: #f7f8fa; --line: #d5dae0; --text: #16191d; --dim: #59626c; --link: #005a9e;
  --good: #00664a; --bad: #b03a00; --good-back: #e2f4ee; --bad-back: #fdeadf; --focus: #d55e00; --mark: #f0e442;
  --level-0: #0072b2; --level-1: #009e73; --level-2: #9a5a00;
}
@media (prefers-color-scheme: dark) {
  :root:not([data-theme=light]) {
    --back: #12161a; --panel: #1a1f25; --line: #343c45; --text: #e6eaee; --dim: #9aa5b1; --link: #7cc4f5;
    --good: #4fd0a5; --bad: #ff9a5c; --good-back: #12302a; --bad-back: #3a2113; --focus: #f0e442; --mark: #6b6300;
    --level-0: #7cc4f5; --level-1: #4fd0a5; --level-2: #f0b35c;
  }
}
:root[data-theme=dark] {
  color-scheme: dark;
  --back: #12161a; --panel: #1a1f25; --line: #343c45; --text: #e6eaee; --dim: #9aa5b1; --link: #7cc4f5;
  --good: #4fd0a5; --bad: #ff9a5c; --good-back: #12302a; --bad-back: #3a2113; --focus: #f0e442; --mark: #6b6300;
  --level-0: #7cc4f5; --level-1: #4fd0a5; --level-2: #f0b35c;
}
:root[data-theme=light] { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; padding: .8rem 1.2rem .5rem; }
.brand { color: var(--dim); } .brand b { color: var(--text); }
h1 { font-size: 1.25rem; margin: 0; flex: 1 1 20rem; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; } h3 { font-size: .92rem; margin: .9rem 0 .3rem; }
nav { position: sticky; top: 0; z-index: 5; display: flex; gap: .1rem .9rem; flex-wrap: wrap; padding: .35rem 1.2rem; background: var(--panel); border-block: 1px solid var(--line); font-size: .87rem; }
a { color: var(--link); } nav a { text-decoration: none; } nav a:hover { text-decoration: underline; }
main { padding: 0 1.2rem 2rem; max-width: 1500px; margin: auto; } footer { padding: 1rem 1.2rem; color: var(--dim); font-size: .85rem; border-top: 1px solid var(--line); }
section { margin-top: 1.2rem; padding: .9rem 1rem; border: 1px solid var(--line); border-radius: 8px; background: var(--panel); scroll-margin-top: 2.4rem; min-width: 0; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 1rem; top: .5rem; z-index: 9; background: var(--back); padding: .4rem; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 1px; }
button, input, select { font: inherit; color: inherit; background: var(--back); border: 1px solid var(--line); border-radius: 5px; padding: .2rem .55rem; }
button { cursor: pointer; } button:hover:not(:disabled) { border-color: var(--dim); } button:disabled { cursor: default; opacity: .45; }
button.link { border: 0; background: none; padding: 0; color: var(--link); text-align: left; text-decoration: underline dotted; }
button.bad-event { border-color: var(--bad); color: var(--bad); font-weight: 600; } button.link.bad { color: var(--bad); font-weight: 600; }
.mono, code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .86rem; } .pre { white-space: pre; }
code { overflow-wrap: anywhere; } .dim, .note, .count { color: var(--dim); } .note { font-size: .85rem; margin: .3rem 0; }
table { border-collapse: collapse; font-size: .88rem; } th, td { text-align: left; padding: .18rem .8rem .18rem 0; vertical-align: top; border-bottom: 1px solid var(--line); } th { color: var(--dim); font-weight: 600; }
.scroll { overflow-x: auto; max-width: 100%; } pre.lines { overflow: auto; max-height: 24rem; margin: .2rem 0; padding: .5rem; background: var(--back); border: 1px solid var(--line); border-radius: 5px; }
.badge { display: inline-block; margin: 0 0 .4rem; padding: .2rem .7rem; border-radius: 5px; font-weight: 650; font-size: 1.05rem; } .badge.ok { background: var(--good-back); color: var(--good); } .badge.failed { background: var(--bad-back); color: var(--bad); }
.pass { color: var(--good); } .fail, .error, .bad-line { color: var(--bad); }
.totals { display: flex; flex-wrap: wrap; gap: .5rem; margin: .5rem 0; } .total { padding: .3rem .7rem; border: 1px solid var(--line); border-radius: 6px; background: var(--back); } .total b { font-size: 1.15rem; } .total.bad { border-color: var(--bad); color: var(--bad); } .total small { color: var(--dim); }
.player { display: flex; gap: .5rem; align-items: center; } .player input { flex: 1; min-width: 6rem; accent-color: var(--link); padding: 0; } .now { margin: .3rem 0; }
.steps { list-style: none; margin: .4rem 0; padding: 0; max-height: 17rem; overflow: auto; } .step { display: flex; gap: .4rem; width: 100%; border: 0; background: none; text-align: left; border-radius: 0; } .step[aria-current] { background: var(--back); box-shadow: inset 3px 0 var(--link); font-weight: 600; } .step-nr { min-width: 2.6rem; text-align: right; color: var(--dim); } .step-result { margin-left: auto; color: var(--dim); } .step.bad .step-nr, .step.bad .step-result { color: var(--bad); }
#time-travel { position: sticky; top: 2.1rem; z-index: 4; padding-block: .45rem; box-shadow: 0 2px 6px rgba(0,0,0,.12); } #time-travel h2 { float: left; margin-right: 1rem; font-size: .9rem; } .view > section { scroll-margin-top: 8.5rem; } #verdict, #time-travel { scroll-margin-top: 2.4rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 0 1.5rem; } .columns > * { min-width: 0; } .columns .wide { grid-column: 1 / -1; } .patches { margin: 0; padding-left: 1rem; overflow-wrap: anywhere; max-height: 16rem; overflow: auto; }
.memory { position: relative; } .toolbar { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; margin-bottom: .5rem; } .find { display: flex; flex-wrap: wrap; gap: .3rem; align-items: center; } .message { color: var(--bad); } .where { color: var(--dim); }
.strip-row { margin-top: .25rem; } .strip-name { display: block; color: var(--dim); font-size: .8rem; min-height: 0; } canvas.strip { display: block; width: 100%; height: 46px; border: 1px solid var(--line); border-radius: 3px; touch-action: none; cursor: crosshair; } canvas.overview { height: 20px; cursor: pointer; } canvas.axis { display: block; width: 100%; height: 18px; color: var(--dim); }
.tip { position: absolute; z-index: 4; max-width: 22rem; padding: .2rem .5rem; background: var(--text); color: var(--back); border-radius: 4px; font: 12px ui-monospace, monospace; pointer-events: none; white-space: pre-wrap; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem; margin-top: .5rem; } .legend-entry { display: inline-flex; gap: .35rem; align-items: center; font-size: .84rem; padding: .1rem .45rem .1rem .2rem; } .swatch-box { display: inline-block; line-height: 0; vertical-align: middle; } canvas.swatch { width: 20px; height: 20px; border: 1px solid var(--line); border-radius: 3px; }
.key-bits { display: flex; flex-wrap: wrap; gap: .35rem; margin: .3rem 0 .6rem; } .key-part { border-bottom: 3px solid; padding: 0 .2rem; } .key-part .bits { letter-spacing: .06em; color: var(--text); } .key-name { font-size: .76rem; } .level-0 { color: var(--level-0); } .level-1 { color: var(--level-1); } .level-2 { color: var(--level-2); } .above { opacity: .35; } mark { background: var(--mark); color: inherit; font-weight: 700; outline: 1px solid currentColor; }
.tree-level { margin-top: .35rem; } .level-name { font-size: .84rem; } .node .box { fill: var(--back); stroke: var(--dim); } .node .used { fill: var(--level-1); } .node.marked .box { stroke: var(--focus); stroke-width: 3; } .node.marked .used { fill: var(--focus); } .tree svg { display: block; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; } .facts dt { color: var(--dim); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.fdt { margin-top: .4rem; } summary { cursor: pointer; } .fdt-tree { margin: .3rem 0; overflow-x: auto; } .fdt-tree ul { list-style: none; margin: 0; padding-left: 1.3rem; border-left: 1px dotted var(--line); } .node-name { font-weight: 650; } .prop { color: var(--level-2); } .value { color: var(--level-0); } td.hex { max-width: 30rem; color: var(--dim); overflow-wrap: anywhere; }
.log { list-style: none; margin: 0; padding: .4rem; max-height: 28rem; overflow: auto; background: var(--back); border: 1px solid var(--line); border-radius: 5px; } .log-line { white-space: pre-wrap; overflow-wrap: anywhere; } .log-head { font-weight: 650; margin-top: .5rem; color: var(--link); } .log .time { color: var(--dim); } .log .future { opacity: .4; } .log .warn, .log .err, .log .emerg { color: var(--bad); } .log .mark { display: inline-block; width: 1ch; font-weight: 700; }
span.cell.sample { display: inline-block; width: 1.7rem; text-align: center; font-weight: 700; border-radius: 3px; border: 1px solid var(--line); }
#views, #views select { max-width: 100%; min-width: 0; } select { text-overflow: ellipsis; }
.heats { display: flex; flex-wrap: wrap; gap: 0 1.2rem; } .matrix #details { position: sticky; bottom: 0; z-index: 3; max-height: 40vh; overflow: auto; box-shadow: 0 -2px 8px rgba(0,0,0,.15); } #details p { margin: .25rem 0; }
.plain { list-style: none; padding: 0; } .ends { display: flex; justify-content: space-between; color: var(--dim); } .strip-plot { border: 1px solid var(--line); border-radius: 3px; } .legend span.legend-entry { border: 1px solid var(--line); border-radius: 5px; } .mark-point { fill: var(--size); } th[scope=rowgroup] { padding-top: .8rem; color: var(--text); }
table.heat td { padding: 2px; border: 0; } table.heat th { font-size: .78rem; padding: 2px 6px; white-space: nowrap; } button.cell { width: 2.4rem; height: 1.9rem; padding: 0; font-weight: 700; border-radius: 3px; } button.cell[aria-pressed=true] { outline: 3px solid var(--focus); }
.cell.handover { background: #0072b2; color: #fff; } .cell.cold-boot { background: #b7bec6; color: #111; background-image: repeating-linear-gradient(45deg, transparent 0 5px, rgba(0,0,0,.16) 5px 7px); } .cell.panic { background: #cc79a7; color: #111; background-image: repeating-linear-gradient(90deg, transparent 0 5px, rgba(0,0,0,.2) 5px 7px); } .cell.oops { background: #e69f00; color: #111; background-image: repeating-linear-gradient(0deg, transparent 0 5px, rgba(0,0,0,.2) 5px 7px); } .cell.corrupt { background: #d55e00; color: #fff; background-image: repeating-linear-gradient(-45deg, transparent 0 4px, rgba(0,0,0,.3) 4px 7px); }
.plot { max-width: 100%; height: auto; } .plot text { fill: var(--text); font: 12px system-ui, sans-serif; } .plot .grid { stroke: var(--line); } .plot .axis-line { stroke: var(--dim); } .size-0 { --size: var(--level-0); } .size-1 { --size: var(--level-1); } .size-2 { --size: var(--bad); } .plot .curve { fill: none; stroke: var(--size); stroke-width: 2.4; } .plot .sparse { stroke-dasharray: 6 4; } .plot .dot { fill: var(--size); stroke: var(--back); stroke-width: 1.5; } .plot .curve-name { fill: var(--size); font-weight: 650; }
.bars .bar { fill: var(--size); } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; } td.best { font-weight: 700; }
@media (max-width: 640px) { header, nav, main, footer { padding-inline: .6rem; } nav { position: static; } section { padding: .6rem; } #time-travel { top: 0; } .facts { grid-template-columns: 1fr; } .facts dd { margin-bottom: .3rem; } h1 { flex-basis: 100%; } }
@media print { #time-travel, .matrix #details { position: static; max-height: none; } nav, .toolbar, .player, #theme, #views, .skip, .tip { display: none !important; } body { background: #fff; color: #000; font-size: 11px; } section { break-inside: avoid-page; border-color: #999; background: none; } pre.lines, .log, .steps { max-height: none; overflow: visible; } canvas { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .cell { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
`;
