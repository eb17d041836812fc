// What a film is played with.

import { Button, Segmented } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { t } from "../../text";
import { LOOK_NAMES, type Film, type LookName, type Speed } from "./film";
import { moment, SECONDS, type Flow } from "./motion";
import { COUNTS } from "./pace";
import type { Score } from "./score";

const PLAY = "M4 2.5v11l9-5.5z";
const PAUSE = "M4 3h3v10H4zM9 3h3v10H9z";
const FULL = "M2 2h5v1.6H3.6V7H2zM9 2h5v5h-1.6V3.6H9zM2 9h1.6v3.4H7V14H2zM12.4 9H14v5H9v-1.6h3.4z";

// Where in the film a phase begins, and where it goes into the words.
function marks(score: Score): { left: number; name: string }[] {
  const first = (reached: number) => {
    for (let i = 0; i <= 400; i++) if (moment(i / 400, false).progress >= reached) return i / 400;
    return 1;
  };
  return [0, ...score.phases].map((begins, i) => ({ left: i ? first(begins) : 0, name: t.morph.phases[i]! }));
}

export function Bar(props: {
  score: Score; film: Film; words: string[]; at: number; state: string; phase: string; playing: boolean; speed: Speed; loop: boolean; count: number; drawn: number;
  onPlay: () => void; onSeek: (time: number) => void; onSpeed: (speed: Speed) => void; onLoop: (loop: boolean) => void; onCount: (count: number) => void;
  onWord: (label: string) => void; onFilm: (part: Partial<Film>) => void; onFull: () => void; onCamera: () => void; onSave: () => void;
}) {
  const { score, film, at } = props;
  return (
    <div className="morph-bar">
      <div className="morph-line">
        <button type="button" className="button round" aria-label={props.playing ? t.morph.pause : t.morph.play} onClick={props.onPlay}>
          <svg viewBox="0 0 16 16" aria-hidden="true"><path d={props.playing ? PAUSE : PLAY} /></svg>
        </button>
        <div className="morph-track">
          <input
            type="range" min={0} max={1000} step={1} value={Math.round(at * 1000)} aria-label={t.morph.scrub} aria-valuetext={`${(at * SECONDS).toFixed(1)} s, ${props.state}`}
            style={{ "--at": at } as React.CSSProperties} onChange={(event) => props.onSeek(Number(event.target.value) / 1000)}
          />
          <div className="morph-marks" aria-hidden="true">{marks(score).map(({ left, name }) => <span key={name} style={{ left: `${left * 100}%` }}>{name}</span>)}</div>
        </div>
        <span className="morph-state" data-testid="morph-state">{props.phase}</span>
        <button type="button" className="button round quiet" aria-label={t.morph.full} title={t.morph.full} onClick={props.onFull}>
          <svg viewBox="0 0 16 16" aria-hidden="true"><path d={FULL} /></svg>
        </button>
      </div>
      <details className="morph-more">
        <summary>{t.morph.more}</summary>
        <div className="morph-choices">
          <fieldset>
            <legend>{t.morph.words}</legend>
            <div className="row">{props.words.map((label) => <button key={label} type="button" className="morph-chip" aria-pressed={score.words.includes(label)} onClick={() => props.onWord(label)}>{label}</button>)}</div>
          </fieldset>
          <fieldset><legend>{t.morph.flow}</legend><Segmented label={t.morph.flow} value={film.flow} options={t.morph.flows} onChange={(flow: Flow) => props.onFilm({ flow })} /></fieldset>
          <fieldset><legend>{t.morph.look}</legend><Segmented label={t.morph.look} value={film.look} options={Object.fromEntries(LOOK_NAMES.map((name) => [name, t.morph.looks[name]])) as Record<LookName, string>} onChange={(look: LookName) => props.onFilm({ look })} /></fieldset>
          <fieldset><legend>{t.morph.speed}</legend><div className="row">
            <Segmented label={t.morph.speed} value={props.speed} options={t.morph.speeds} onChange={props.onSpeed} />
            <button type="button" className="morph-chip" aria-pressed={props.loop} onClick={() => props.onLoop(!props.loop)}>{t.morph.loop}</button>
          </div></fieldset>
          <fieldset><legend>{t.morph.camera}</legend><div className="row">
            <Segmented label={t.morph.camera} value={film.camera ? "fly" : "path"} options={t.morph.cameras} onChange={props.onCamera} />
          </div></fieldset>
          <fieldset>
            <legend>{t.morph.particles}</legend>
            <select className="plain" aria-label={t.morph.particles} value={props.count} onChange={(event) => props.onCount(Number(event.target.value))}>
              <option value={0}>{t.morph.auto(props.drawn)}</option>
              {COUNTS.map((count) => <option key={count} value={count}>{count.toLocaleString("en")}</option>)}
            </select>
          </fieldset>
          <div className="row morph-ends">
            <Button onClick={props.onSave}>{t.morph.save}</Button>
            <Button onClick={() => props.onFilm({ kiosk: true })}>{t.morph.kiosk}</Button>
            <a className="button quiet" href={linkTo({ view: "run", run: score.id })}>{t.morph.explore}</a>
          </div>
          <p className="hint">{t.morph.keys}</p>
        </div>
      </details>
    </div>
  );
}
