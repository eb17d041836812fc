// A recording as a film of particles: the run and its words are read here, `Player` shows them.

import { useEffect, useMemo, useRef } from "react";
import { Failed, Waiting } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { useResource } from "../../state/resource";
import { useRecording } from "../../state/run";
import { useLibrary, useSourceOf } from "../../state/source";
import { useStore } from "../../state/store";
import { t } from "../../text";
import { readFilm, writeFilm, type Film } from "./film";
import "./morph.css";
import { Player } from "./Player";
import { chosenWords, readScore, shownWords } from "./score";

export default function Morph({ run, film: text }: { run: string; film: string }) {
  const { runs, example } = useLibrary();
  const playable = useMemo(() => runs.filter((each) => each.has_image && (each.words?.length ?? 0) > 0 && (each.steps_recorded ?? 2) > 1).map((each) => each.id), [runs]);
  const id = run || playable[0] || example?.site.example || null;
  const film = useMemo(() => readFilm(text, window.location.search), [text]);
  const recording = useRecording(useSourceOf(id ?? ""), id);
  const there = recording.value;
  const wanted = film.words?.join("\n") ?? null;
  // The older film stays until the next one is read, so that a kiosk shows no gap.
  const score = useResource(there && there.run.id === id ? `${id} ${there.run.version} ${wanted}` : null, async () =>
    readScore(there!, film.words ?? (await chosenWords(there!))),
  );
  const kept = useRef(score.value);
  if (score.value) kept.current = score.value;
  const shown = kept.current;

  // The address follows what is shown, without an entry of the history for each change.
  const go = (next: Film, other = id) => {
    const route = { view: "morph" as const, run: other ?? "", film: writeFilm(next) };
    window.history.replaceState(null, "", `${window.location.search}${linkTo(route)}`);
    useStore.setState({ route });
  };
  useEffect(() => {
    if (shown) document.title = `${shown.prompt} · ${t.morph.title} · ${t.name}`;
  }, [shown]);

  const next = () => {
    const at = playable.indexOf(id ?? "");
    go({ ...film, words: null, at: 0, camera: null }, playable[(at + 1) % playable.length] ?? id);
  };
  const error = recording.error ?? score.error;
  // A recording that cannot be shown does not stop a kiosk.
  useEffect(() => {
    if (!error || !film.kiosk || playable.length < 2) return;
    const timer = window.setTimeout(next, 1500);
    return () => window.clearTimeout(timer);
  }, [error]);
  if (error) return <div className="page narrow"><Failed error={error} /></div>;
  if (!id) return <div className="page narrow"><p className="hint">{t.morph.none}</p></div>;
  if (!shown) return <div className="morph"><div className="morph-waiting"><Waiting what={t.morph.reading} /></div></div>;
  const words = there && there.run.id === shown.id ? shownWords(there).filter((word) => word.kind === "content" || shown.words.includes(word.label)) : [];
  return <Player score={shown} film={film} words={words.map((word) => word.label)} onFilm={go} onEnd={playable.length > 1 ? next : null} />;
}
