// The numbers behind strips and curves.

import { memo, useState } from "react";
import type { Recording, WordMaps } from "../../state/run";
import { t } from "../../text";

// Made when it is opened, and not anew at each step.
export const MassTable = memo(function MassTable({ recording, maps }: { recording: Recording; maps: WordMaps }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="hint">{t.steps.table}</summary>
      {open && <Numbers recording={recording} maps={maps} />}
    </details>
  );
});

function Numbers({ recording: { words, steps }, maps }: { recording: Recording; maps: WordMaps }) {
  const rows = words.words.map((word) => ({ label: word.label, mass: maps.series.get(word.label)?.mass }));
  return (
    <>
      <p className="hint">{t.steps.stripsHint} {t.steps.keys}.</p>
      <div className="table-scroll" tabIndex={0} role="region" aria-label={t.steps.table}>
        <table data-testid="masses">
          <thead>
            <tr>
              <th scope="col">{t.steps.step}</th>
              {rows.map(({ label }) => <th scope="col" key={label}>{label}</th>)}
            </tr>
          </thead>
          <tbody>
            {steps.map((step, i) => (
              <tr key={step}>
                <th scope="row">{step}</th>
                {rows.map(({ label, mass }) => <td key={label}>{mass?.[i]?.toPrecision(4) ?? "–"}</td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
