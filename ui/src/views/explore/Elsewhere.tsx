// The selection in the forms that Python and the command line take, to be copied.

import { useState } from "react";
import { Button } from "../../parts/controls";
import { selectionText, type Selection } from "../../selection";
import type { Recording } from "../../state/run";
import { t } from "../../text";

// Quoted so that a word stays data when it is pasted.
const pythonText = (text: string) => JSON.stringify(text);
const shellWord = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);

export function Elsewhere({ recording, selection }: { recording: Recording; selection: Selection }) {
  const [copied, setCopied] = useState("");
  const text = selectionText(selection);
  const id = recording.run.id;
  const options = [
    selection.word !== null && `--word ${shellWord(selection.word)}`,
    selection.concept !== null && `--concept ${shellWord(selection.concept)}`,
    selection.steps !== "all" && `--steps ${shellWord(selection.steps)}`,
    selection.sites !== "all" && `--sites ${shellWord(selection.sites)}`,
    selection.heads !== "all" && `--heads ${shellWord(selection.heads)}`,
  ].filter(Boolean);
  const region = selection.region?.split(/:(.*)/s);
  const shell = region && region[0] !== "contour"
    ? `diffuscope region ${shellWord(id)} --${region[0]} ${region[1]}${selection.steps === "all" ? "" : ` --steps ${shellWord(selection.steps)}`}`
    : region ? null : `diffuscope heatmap ${shellWord(id)} ${options.join(" ")}`;
  const forms: [string, string][] = [[t.reading.link, window.location.href], [t.reading.python, `ds.open(${pythonText(`runs/${id}`)}).map(${pythonText(text)})`]];
  if (shell) forms.push([t.reading.shell, shell]);
  const copy = async (name: string, value: string) => {
    try {
      await navigator.clipboard.writeText(value);
      setCopied(name);
    } catch {
      setCopied("");
    }
  };
  return (
    <div className="stack">
      <h3>{t.reading.selection}</h3>
      <p className="mono" data-testid="selection">{text}</p>
      <div className="row">
        {forms.map(([name, value]) => <Button key={name} title={value} onClick={() => void copy(name, name === t.reading.link ? window.location.href : value)}>{copied === name ? t.reading.copied : name}</Button>)}
      </div>
    </div>
  );
}
