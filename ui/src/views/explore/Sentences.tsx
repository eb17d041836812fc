// Sentences with evidence: each shows it in the views while it is pointed at, and goes there when it is pressed.

import type { Claim, Explanation, Sentence } from "../../api/types";
import { number } from "../../maps/measure";
import { parseSelection } from "../../selection";
import { useStore } from "../../state/store";
import { t } from "../../text";

export function Sentences({ explanation }: { explanation: Explanation }) {
  const claims = new Map((explanation.claims ?? []).map((claim) => [claim.id, claim]));
  return (
    <div data-testid="explanation">
      {Object.entries(explanation.parts ?? {}).map(([part, sentences]) => sentences.length > 0 && (
        <section className="section" key={part}>
          <h3>{t.explain.parts[part as keyof typeof t.explain.parts] ?? part}</h3>
          <div>{sentences.map((sentence, i) => <Told key={i} sentence={sentence} claims={claims} />)}</div>
        </section>
      ))}
      {explanation.diagnoses?.filter((each) => !each.came_true).map((each) => (
        <section className="section" key={each.word}>
          <h3>{t.explain.missing(each.word)}</h3>
          <ul className="stack">
            {each.try.map((way) => <li key={way.command}>{way.title}<br /><code>{way.command}</code></li>)}
          </ul>
        </section>
      ))}
    </div>
  );
}

function Told({ sentence, claims }: { sentence: Sentence; claims: ReadonlyMap<string, Claim> }) {
  const { set, select } = useStore.getState();
  const cited = sentence.cites.flatMap((id) => claims.get(id) ?? []);
  const pointed = cited.find((claim) => claim.selection && claim.selection !== "all");
  if (!pointed?.selection) return <p className="sentence plain">{sentence.text}</p>;
  const selection = parseSelection(pointed.selection);
  const values = cited.filter((claim) => claim.value !== null).slice(0, 3).map((claim) => `${claim.statistic} ${typeof claim.value === "number" ? number(claim.value) : claim.value} ${claim.unit ?? ""}`.trim());
  return (
    <button
      type="button"
      className="sentence"
      title={t.explain.evidence([pointed.selection, ...values].join(" · "))}
      onPointerEnter={() => set({ lent: selection })}
      onPointerLeave={() => set({ lent: null })}
      onFocus={() => set({ lent: selection })}
      onBlur={() => set({ lent: null })}
      onClick={() => {
        set({ lent: null });
        select(selection);
      }}
    >
      {sentence.text}
    </button>
  );
}
