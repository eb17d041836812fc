// The numbers behind strips and curves.

import type { RunView } from "../explore/view";
import { t } from "../../text";

export function MassTable({ recording: { words, steps }, maps }: RunView) {
  const rows = words.words.map((word) => ({ label: word.label, mass: maps.series.get(word.label)?.mass }));
  return (
    <details>
      <summary className="hint">{t.steps.table}</summary>
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
    </details>
  );
}
