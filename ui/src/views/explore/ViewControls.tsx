// How maps are shown, and of which attention sites and heads.

import { Pair, Segmented, Slider } from "../../parts/controls";
import { SEQUENTIAL, type ColourName } from "../../maps/colours";
import { gridName, siteChoice, textSites } from "../../state/run";
import { writeAddress } from "../../state/address";
import { useStore, type RangeMode } from "../../state/store";
import { t } from "../../text";
import type { RunView } from "./view";

export function ViewControls({ recording, selection, question }: RunView) {
  const { opacity, colours, smooth, look, behind, range, set, select } = useStore();
  const { run, source } = recording;
  const sites = textSites(run);
  const choice = siteChoice(run, selection);
  const grids = [...new Set(sites.map(gridName))];
  const value = choice.kind === "all" ? "all" : choice.kind === "grid" ? `grid ${choice.grid}` : choice.kind === "site" ? `site ${choice.site.name}` : "other";
  const choose = (next: string) => {
    const [kind, name = ""] = next.split(/ (.*)/s);
    const named = kind === "grid" ? sites.filter((site) => gridName(site) === name).map((site) => site.name).sort().join(",") : kind === "site" ? name : "all";
    select({ sites: named, heads: "all" });
  };
  const heads = source.server !== null || source.site.heads || source.site.atlas;
  const before = run.timetable.some((step) => step.preview);
  return (
    <div className="stack">
      <Pair label={t.view.opacity}><Slider label={t.view.opacity} value={opacity} step={2} onChange={(next) => set({ opacity: next })} /></Pair>
      <Pair label={t.view.look}><Segmented label={t.view.look} value={look} options={t.view.looks} onChange={(next) => set({ look: next })} /></Pair>
      <Pair label={t.view.patches}>
        <Segmented label={t.view.patches} value={smooth ? "smooth" : "raw"} options={{ raw: t.view.raw, smooth: t.view.smooth }} onChange={(next) => set({ smooth: next === "smooth" })} />
      </Pair>
      <Pair label={t.view.behind}>
        <Segmented label={t.view.behind} value={before ? behind : "final"} options={t.view.behinds} disabled={before ? [] : ["step"]} onChange={(next) => set({ behind: next })} />
      </Pair>
      <label className="pair">
        <span>{t.view.range}</span>
        <select className="plain" value={question.series ? range : "map"} disabled={!question.series} onChange={(event) => set({ range: event.target.value as RangeMode })}>
          {Object.entries(t.view.ranges).map(([name, text]) => <option key={name} value={name}>{text}</option>)}
        </select>
      </label>
      <label className="pair">
        <span>{t.view.colours}</span>
        <select className="plain" value={colours} onChange={(event) => set({ colours: event.target.value as ColourName })}>
          {SEQUENTIAL.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      {sites.length > 1 && question.kind !== "region" && (
        <label className="pair">
          <span>{t.view.sites}</span>
          <select className="plain" value={value} onChange={(event) => choose(event.target.value)}>
            <option value="all">{t.view.allSites(sites.length)}</option>
            {value === "other" && <option value="other">{t.view.other}</option>}
            {grids.length > 1 && (
              <optgroup label={t.view.grids}>
                {grids.map((grid) => <option key={grid} value={`grid ${grid}`}>{t.view.grid(grid.replace("x", " × "), sites.filter((site) => gridName(site) === grid).length)}</option>)}
              </optgroup>
            )}
            <optgroup label={t.view.singles}>
              {sites.map((site) => <option key={site.name} value={`site ${site.name}`}>{site.name}</option>)}
            </optgroup>
          </select>
        </label>
      )}
      {run.can.heads && source.site.atlas && <a className="button" href={writeAddress({ route: { view: "atlas", run: run.id, atlas: "" }, selection: { ...selection, sites: "all", heads: "all", region: null, concept: null }, also: [], direction: "to", diffused: false })}>{t.view.everyHead}</a>}
      {choice.kind === "site" && run.can.heads && !heads && <p className="hint">{t.view.noHeads}</p>}
      {choice.kind === "site" && run.can.heads && heads && (
        <label className="pair">
          <span>{t.view.head}</span>
          <select className="plain" value={choice.head ?? "all"} onChange={(event) => select({ heads: event.target.value })}>
            <option value="all">{t.view.allHeads}</option>
            {choice.site.kept_heads.map((head) => <option key={head} value={head}>{head}</option>)}
          </select>
        </label>
      )}
    </div>
  );
}
