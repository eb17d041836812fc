// A recording: prompt, picture and map, steps, and what can be read and asked.

import { useEffect, useMemo, useState, type CSSProperties } from "react";
import { Failed, Waiting } from "../../parts/controls";
import { useQuestion } from "../../state/question";
import { firstWord, useRecording, useWordMaps, wordsOf, type Recording } from "../../state/run";
import { useSourceOf } from "../../state/source";
import { shownSelection, useStore } from "../../state/store";
import { t } from "../../text";
import { Dock } from "../steps/Dock";
import { Inspector } from "./Inspector";
import { Prompt } from "./Prompt";
import { Stage, type Tool } from "./Stage";
import { useKeys } from "./useKeys";

export function Explore({ id }: { id: string }) {
  const recording = useRecording(useSourceOf(id), id);
  useEffect(() => {
    if (recording.value) document.title = `${recording.value.run.prompt ?? id} · ${t.name}`;
  }, [recording.value, id]);
  if (recording.error) return <Missing error={recording.error} />;
  if (!recording.value || recording.value.run.id !== id) return <div className="page"><Waiting /></div>;
  return <Explored recording={recording.value} />;
}

export function Missing({ error }: { error: Error }) {
  return (
    <div className="page narrow">
      <div className="empty">
        <h1>{t.notHere.title}</h1>
        <p>{t.notHere.text}</p>
        <Failed error={error} />
        <a className="button" href="#/">{t.titles.gallery}</a>
      </div>
    </div>
  );
}

function Explored({ recording }: { recording: Recording }) {
  const own = useStore((state) => state.selection);
  const shown = useStore(shownSelection);
  const also = useStore((state) => state.also);
  const direction = useStore((state) => state.direction);
  const diffuse = useStore((state) => state.diffused);
  const select = useStore((state) => state.select);
  const [tool, setTool] = useState<Tool>("read");
  const [outlined, setOutlined] = useState(false);

  // What the address asks for may not be there; a word that is takes its place.
  const known = shown.word !== null && wordsOf(recording.words, shown.word).length > 0;
  const selection = useMemo(
    () => (shown.region !== null || shown.concept !== null || known ? shown : { ...shown, word: firstWord(recording.words)?.label ?? null }),
    [shown, known, recording],
  );
  useEffect(() => {
    const missing = own.word !== null && wordsOf(recording.words, own.word).length === 0;
    if (missing) select({ word: firstWord(recording.words)?.label ?? null });
  }, [own.word, recording, select]);

  const wanted = [...(selection.word ? wordsOf(recording.words, selection.word).map((word) => word.label) : []), ...also];
  const maps = useWordMaps(recording, selection, wanted);
  const question = useQuestion(recording, maps, selection, direction, diffuse);
  useKeys(recording);

  const aspect = (recording.run.width ?? 1) / (recording.run.height ?? 1);
  const view = { recording, selection, maps, question };
  return (
    <div className="explore" style={{ "--aspect": aspect } as CSSProperties}>
      <Prompt {...view} />
      <Stage {...view} tool={tool} outlined={outlined} />
      <Dock {...view} />
      <Inspector {...view} tool={tool} onTool={setTool} outlined={outlined} onOutlined={setOutlined} />
    </div>
  );
}
