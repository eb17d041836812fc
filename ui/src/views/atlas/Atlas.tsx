// The whole model at once: every head's map, as the data flows or by rank; steps below, what can be done beside.

import { useEffect, useMemo, useRef, useState, type CSSProperties } from "react";
import { useShallow } from "zustand/react/shallow";
import { SourceError } from "../../api/source";
import { Failed, Waiting } from "../../parts/controls";
import { writeAddress } from "../../state/address";
import { useQuestion } from "../../state/question";
import { firstWord, useRecording, useWordMaps, wordsOf, type Recording } from "../../state/run";
import { useLibrary, useSourceOf } from "../../state/source";
import { shownSelection, useStore } from "../../state/store";
import { t } from "../../text";
import { Missing } from "../explore/Explore";
import { Prompt } from "../explore/Prompt";
import { useKeys } from "../explore/useKeys";
import { Dock } from "../steps/Dock";
import { singleStep } from "../steps/walk";
import { Corner, Lanes } from "./act/panels";
import { frames, laid as layOut } from "./arrange";
import "./atlas.css";
import { cellById, cellsOf, type AtlasInfo } from "./cells";
import { atlasWord, contentOf, effectsOf, useAtlasInfo, useMasses, useRankings, useTiles } from "./data";
import { Inspector } from "./Inspector";
import { Stage } from "./Stage";
import { AT_FIRST, cursorOf, cursorText, readShown, useAtlas, writeShown } from "./state";
import { a } from "./text";
import { sharedRange, slotOf } from "./tiles";
import { Toolbar } from "./Toolbar";
import { slotIn, type AtlasViewProps } from "./view";

export default function Atlas({ run, atlas }: { run: string; atlas: string }) {
  const { runs, example } = useLibrary();
  const id = run || runs.find((each) => (each.words?.length ?? 0) > 0)?.id || example?.site.example || "";
  const recording = useRecording(useSourceOf(id), id || null);
  useEffect(() => {
    if (recording.value) document.title = `${recording.value.run.prompt ?? id} · ${a.title} · ${t.name}`;
  }, [recording.value, id]);
  if (!id) return <div className="page narrow"><p className="hint">{t.gallery.none}</p></div>;
  if (recording.error) return <Missing error={recording.error} />;
  if (!recording.value || recording.value.run.id !== id) return <div className="page"><Waiting /></div>;
  return <Opened key={id} recording={recording.value} address={atlas} />;
}

function Opened({ recording, address }: { recording: Recording; address: string }) {
  const seen = useAtlas((state) => state.rankingsSeen);
  const info = useAtlasInfo(recording, seen);
  if (info.error && !info.value) return <NoAtlas recording={recording} error={info.error} />;
  if (!info.value) return <div className="page"><Waiting what={a.making} /></div>;
  return <Shown recording={recording} info={info.value} address={address} />;
}

function NoAtlas({ recording, error }: { recording: Recording; error: Error }) {
  const left = error instanceof SourceError && error.status === 404 && !recording.source.server;
  return (
    <div className="page narrow">
      <div className="empty">
        <h1>{recording.words.prompt}</h1>
        {left ? <p>{a.noAtlas}</p> : <Failed error={error} />}
        <a className="button" href={`#/run/${encodeURIComponent(recording.run.id)}`}>{t.back}</a>
      </div>
    </div>
  );
}

function Shown({ recording, info, address }: { recording: Recording; info: AtlasInfo; address: string }) {
  // The same cells as long as the sites are: what is told of contents and rankings may grow.
  const cells = useMemo(() => cellsOf(info), [info.run, JSON.stringify(info.sites)]);
  useAddress(info, cells, recording.run.id, address);
  useKeys(recording);

  const selection = useShownSelection(recording);
  const also = useStore((state) => state.also);
  const direction = useStore((state) => state.direction);
  const diffuse = useStore((state) => state.diffused);
  const colours = useStore((state) => state.colours);
  const wanted = [...(selection.word ? wordsOf(recording.words, selection.word).map((word) => word.label) : []), ...also];
  const maps = useWordMaps(recording, selection, wanted);
  const question = useQuestion(recording, maps, selection, direction, diffuse);

  const word = atlasWord(recording.words, selection.word);
  // Not the whole store: what moves with the pointer and the camera is none of this part's business.
  const { content: family, order, kinds, grids, sites, top, tint, range: over } = useAtlas(
    useShallow(({ content, order, kinds, grids, sites, top, tint, range }) => ({ content, order, kinds, grids, sites, top, tint, range })),
  );
  const content = contentOf(info, family, word);
  const [near, setNear] = useState(false);
  const all = useTiles(recording, info, content, content?.available ? "all" : null);
  // Until the next content is there the last one stays.
  const tiles = all.value;
  const step = singleStep(selection.steps, info.steps);
  const slot = tiles ? slotOf(tiles, step) : 0;
  const detail = useTiles(recording, info, content, near && content?.overview?.native === false ? (step === null ? "mean" : String(step).padStart(4, "0")) : null);
  const fine = near && detail.value && detail.value.content.id === tiles?.content.id && detail.value.slots[0] === (tiles?.slots[slot] ?? null) ? detail.value : null;

  const massesThere = useMasses(recording, info);
  const masses = massesThere.value;
  const effects = useEffects(recording, info, word?.label ?? null);
  const shownContent = tiles?.content ?? content;
  const aspect = useMemo(() => {
    const [rows, columns] = info.grids[0] ?? [1, 1];
    return rows / columns;
  }, [info]);
  const [stage, setStage] = useState<number | null>(null); // width by height; cells that are ranked wait for it
  const measure = useMemo(() => {
    const byWord = word && masses ? masses.at(word.index, slotIn(masses.slots, null)) : null;
    const byShown = tiles && Float64Array.from(tiles.place, (place) => (place < 0 ? NaN : tiles.mass[slotOf(tiles, null) * tiles.count + place]!));
    if (order === "cause") return effects?.values ?? null;
    // Not by one thing now and by another in a moment: cells would fly for nothing.
    return order === "shown" ? byShown : massesThere.loading ? null : (byWord ?? byShown);
  }, [order, word, masses, massesThere.loading, tiles, effects]);
  const ranks = order === "word" || order === "shown";
  const still = order === "flow" || (stage !== null && (!ranks || measure !== null));
  const filter = useMemo(() => ({ kinds, grids, sites, top }), [kinds, grids, sites, top]);
  const kindsShown = shownContent?.kinds.join(" ") ?? "";
  const lying = useMemo(
    () => (shownContent && still ? layOut(info, cells, shownContent, filter, order, order === "flow" && top === null ? null : measure, aspect, stage ?? 1) : null),
    // The measure counts only where cells are ranked; so does the stage's form.
    [info, cells, kindsShown, filter, order, order === "flow" && top === null ? null : measure, aspect, order === "flow" ? 0 : stage],
  );
  const tinted = useMemo(() => frames(info.cells, tint, word && masses ? masses.at(word.index, slotIn(masses.slots, step)) : null, effects, colours), [info, tint, word, masses, step, effects, colours]);
  const range = useMemo(() => {
    if (!tiles || !lying || over === "cell") return null;
    const indices = lying.cells.map(({ index }) => index);
    return sharedRange(tiles, indices, over === "step" ? [slot] : tiles.slots.map((_, i) => i));
  }, [tiles, lying, over, over === "step" ? slot : -1]);

  const view: AtlasViewProps = {
    recording, selection, maps, question, atlas: info, cells, word, content, laid: lying, tiles, fine, slot, step, range, masses, effects,
    loading: all.loading || (content?.available === true && all.value?.content.id !== content.id && !all.error),
    error: all.error,
  };
  return (
    <div className="explore atlas" style={{ "--aspect": aspect } as CSSProperties}>
      <Prompt {...view} />
      <section className="mat atlas-mat" id="view" tabIndex={-1} aria-label={a.picture}>
        <Toolbar {...view} />
        <Stage view={view} tint={tinted} onNear={setNear} onStage={setStage}><Corner {...view} /></Stage>
      </section>
      <Dock {...view}><Lanes {...view} /></Dock>
      <Inspector {...view} />
    </div>
  );
}

// What the address asks for may not be there; a word that is takes its place.
function useShownSelection(recording: Recording) {
  const shown = useStore(shownSelection);
  const known = shown.word !== null && wordsOf(recording.words, shown.word).length > 0;
  return useMemo(() => (known ? shown : { ...shown, word: firstWord(recording.words)?.label ?? null }), [shown, known, recording]);
}

// The newest search for causes for the word; one that is under way puts its own there.
function useEffects(recording: Recording, info: AtlasInfo, label: string | null) {
  const seen = useAtlas((state) => state.rankingsSeen);
  const live = useAtlas((state) => state.effects);
  const kept = useRankings(recording, seen).value;
  const set = useAtlas((state) => state.set);
  useEffect(() => {
    const ranking = kept?.find((each) => each.word === label || each.target === label) ?? kept?.find((each) => each.word === null);
    set({ effects: ranking ? effectsOf(info, ranking) : null });
  }, [kept, info, label, set]);
  return live;
}

// The atlas's own part of the address, kept in step with its store, without entries of the history.
function useAddress(info: AtlasInfo, cells: ReturnType<typeof cellsOf>, run: string, address: string): void {
  const written = useRef<string | null>(null);
  const read = useRef<string | null>(null);
  // Before the first frame: what is asked for is what is painted first.
  if (read.current !== address) {
    read.current = address;
    if (written.current !== address) {
      const { cursor, ...shown } = readShown(address);
      useAtlas.setState({ ...AT_FIRST, ...shown, cursor: cursorOf(cursor, (id) => cellById(cells, id)), hover: null });
      written.current = address;
    }
  }
  useEffect(() => {
    let timer = 0;
    const write = () => {
      const state = useAtlas.getState();
      const text = writeShown({ ...state, cursor: cursorText(state.cursor, (cell) => cells[cell]?.id ?? null) });
      const store = useStore.getState();
      if (text === written.current || store.route.view !== "atlas") return;
      written.current = text;
      const route = { view: "atlas" as const, run, atlas: text };
      window.history.replaceState(null, "", `${window.location.search}${writeAddress({ ...store, route })}`);
      useStore.setState({ route });
    };
    const stop = useAtlas.subscribe(() => {
      window.clearTimeout(timer);
      timer = window.setTimeout(write, 250);
    });
    return () => {
      stop();
      window.clearTimeout(timer);
    };
  }, [info, cells, run]);
}
