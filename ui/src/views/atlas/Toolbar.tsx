// Above the stage: tools, what is shown and in which order, the filter, and how near one is.

import { Popover } from "radix-ui";
import { useState } from "react";
import { useShallow } from "zustand/react/shallow";
import { Button } from "../../parts/controls";
import { runJob } from "../../state/jobs";
import type { JobRequest } from "../../api/types";
import { Bar } from "./act/panels";
import { gridText } from "./cells";
import { familiesOf } from "./data";
import { NO_FILTER, ORDERS, type Order } from "./order";
import { ANGLES } from "./planes";
import { FAMILIES, useAtlas, type Family } from "./state";
import { a } from "./text";
import type { AtlasViewProps } from "./view";

// Nearer, farther, all of it, planes.
const ICONS = {
  nearer: "M7.2 3h1.6v4.2H13v1.6H8.8V13H7.2V8.8H3V7.2h4.2z",
  farther: "M3 7.2h10v1.6H3z",
  whole: "M2 2h4.5v1.5H3.5v3H2zM9.5 2H14v4.5h-1.5v-3h-3zM2 9.5h1.5v3h3V14H2zM12.5 9.5H14V14H9.5v-1.5h3z",
  planes: "M8 1.5l6.5 3L8 7.5l-6.5-3zm-5 5.3l5 2.3 5-2.3 1.5.7L8 10.5 1.5 7.5zm0 3l5 2.3 5-2.3 1.5.7L8 13.5l-6.5-3z",
} as const;

export function Toolbar(view: AtlasViewProps) {
  const { atlas, word, content } = view;
  const { content: family, order, planes, handle, set } = useAtlas(useShallow(({ content, order, planes, handle, set }) => ({ content, order, planes, handle, set })));
  const painter = handle?.element.dataset.painter;
  const orders = ORDERS.filter((each) => each !== "cause" || view.effects !== null || order === "cause");
  return (
    <div className="atlas-head"><div className="atlas-bar" role="group" aria-label={a.tools}>
      <Bar {...view} />
      <label className="atlas-choice">
        <span>{a.shows}</span>
        <select className="plain" value={family} onChange={(event) => set({ content: event.target.value as Family })}>
          {familiesOf(atlas, FAMILIES, word).map(({ family: each, content: of }) => <option key={each} value={each}>{a.families[each]}{of.available ? "" : ` (${a.missing})`}</option>)}
          {content === null && <option value={family}>{a.families[family]} ({a.missing})</option>}
        </select>
      </label>
      <label className="atlas-choice">
        <span>{a.order}</span>
        <select className="plain" value={order} onChange={(event) => set({ order: event.target.value as Order })}>
          {orders.map((each) => <option key={each} value={each}>{a.orders[each]}</option>)}
        </select>
      </label>
      <FilterButton {...view} />
      <div className="atlas-near">
        <Button kind="quiet" aria-label={a.farther} title={a.farther} onClick={() => zoom(1 / 1.6)}><Icon path={ICONS.farther} /></Button>
        <Button kind="quiet" aria-label={a.nearer} title={a.nearer} onClick={() => zoom(1.6)}><Icon path={ICONS.nearer} /></Button>
        <Button kind="quiet" aria-label={a.whole} title={a.whole} onClick={() => handle?.fit()}><Icon path={ICONS.whole} /></Button>
        <Button kind="quiet" className="atlas-planes" aria-label={a.planes} aria-pressed={planes !== null} disabled={painter === "2d"} title={painter === "2d" ? a.noPlanes : a.planesHint} onClick={() => { handle?.fit(); set({ planes: planes ? null : ANGLES.first }); }}>
          <Icon path={ICONS.planes} /><span>{a.planes}</span>
        </Button>
      </div>
      <Unavailable {...view} />
    </div></div>
  );

  function zoom(factor: number) {
    (handle as { zoom?: (factor: number) => void } | null)?.zoom?.(factor);
  }
}

const Icon = ({ path }: { path: string }) => <svg viewBox="0 0 16 16" aria-hidden="true"><path fillRule="evenodd" d={path} /></svg>;

// What was not recorded is said, and made where it can be.
function Unavailable({ content, recording: { source, run }, word, atlas }: AtlasViewProps) {
  const { content: family, rankingsSeen, set } = useAtlas(useShallow(({ content, rankingsSeen, set }) => ({ content, rankingsSeen, set })));
  const [state, setState] = useState("");
  if (content?.available) return null;
  const readable = content?.family === "signed" && source.server && !source.site.read_only;
  const why = content?.why ?? (word && !atlas.words.includes(word.index) ? a.noWord(word.text) : a.missing);
  const read = async () => {
    setState(a.projecting);
    try {
      const job = await runJob(source, { kind: "projections", run: run.id } as unknown as JobRequest);
      setState(job.error?.message ?? "");
      if (!job.error) set({ rankingsSeen: rankingsSeen + 1 });
    } catch (reason) {
      setState((reason as Error).message);
    }
  };
  return (
    <p className="notice atlas-why" role="status" data-testid="atlas-why">
      {a.families[family]}: {a.unavailable(why)}
      {readable && <Button kind="quiet" disabled={state === a.projecting} onClick={() => void read()}>{a.project}</Button>}
      {state && <span> {state}</span>}
    </p>
  );
}

function FilterButton({ atlas, laid, content }: AtlasViewProps) {
  const { kinds, grids, sites, top, set } = useAtlas(useShallow(({ kinds, grids, sites, top, set }) => ({ kinds, grids, sites, top, set })));
  const on = kinds.length > 0 || grids.length > 0 || sites !== "" || top !== null;
  const available = content?.kinds ?? [];
  const shownGrids = atlas.grids.filter((grid) => atlas.sites.some((site) => available.includes(site.kind) && gridText(site.grid) === gridText(grid)));
  const toggled = (list: readonly string[], name: string) => (list.includes(name) ? list.filter((each) => each !== name) : [...list, name]);
  return (
    <Popover.Root>
      <Popover.Trigger asChild>
        <Button kind="quiet" className={on ? "atlas-filtered" : ""}>
          {a.filter}
          {laid && <small data-testid="atlas-count">{a.filtered(laid.cells.length, laid.of)}</small>}
        </Button>
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="atlas-popover" sideOffset={6} collisionPadding={10} aria-label={a.filter}>
          {available.length > 1 && <Chips label={a.kinds} options={available.map((kind) => [kind, a.kindNames[kind] ?? kind])} chosen={kinds} onToggle={(name) => set({ kinds: toggled(kinds, name) })} />}
          {shownGrids.length > 1 && <Chips label={a.grids} options={shownGrids.map((grid) => [gridText(grid), `${grid[1]} × ${grid[0]}`])} chosen={grids} onToggle={(name) => set({ grids: toggled(grids, name) })} />}
          <div className="field">
            <label htmlFor="atlas-sites">{a.sites}</label>
            <input id="atlas-sites" value={sites} placeholder={a.sitesPlaceholder} spellCheck={false} autoComplete="off" onChange={(event) => set({ sites: event.target.value })} />
            <p className="hint">{a.sitesNote}</p>
          </div>
          <div className="field">
            <label htmlFor="atlas-top">{a.top}</label>
            <input id="atlas-top" type="number" min={1} max={laid?.of ?? 1} value={top ?? ""} placeholder={a.topAll} onChange={(event) => set({ top: Number(event.target.value) >= 1 ? Math.round(Number(event.target.value)) : null })} />
          </div>
          <Button disabled={!on} onClick={() => set({ ...NO_FILTER })}>{a.clear}</Button>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}

function Chips({ label, options, chosen, onToggle }: { label: string; options: [string, string][]; chosen: readonly string[]; onToggle: (name: string) => void }) {
  return (
    <fieldset className="atlas-chips">
      <legend>{label}</legend>
      {options.map(([name, text]) => (
        <button key={name} type="button" aria-pressed={chosen.includes(name)} onClick={() => onToggle(name)}>{text}</button>
      ))}
    </fieldset>
  );
}
