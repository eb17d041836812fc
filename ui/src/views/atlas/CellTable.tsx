// The numbers behind the picture: a line a head, in the order shown.

import { useState } from "react";
import { number } from "../../maps/measure";
import { gridText } from "./cells";
import { useAtlas } from "./state";
import { a } from "./text";
import { cellMass } from "./tiles";
import { slotIn, type AtlasViewProps } from "./view";

export function CellTable({ laid, tiles, slot, step, word, masses, effects }: AtlasViewProps) {
  const [open, setOpen] = useState(false);
  const handle = useAtlas((state) => state.handle);
  const byWord = open && word && masses ? masses.at(word.index, slotIn(masses.slots, step)) : null;
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="hint">{a.table}</summary>
      {open && laid && (
        <div className="table-scroll atlas-table" tabIndex={0} role="region" aria-label={a.table}>
          <table data-testid="atlas-table">
            <thead>
              <tr>
                <th scope="col">{a.columns.head}</th>
                <th scope="col">{a.columns.grid}</th>
                <th scope="col">{a.columns.mean}</th>
                {byWord && <th scope="col">{a.columns.word}</th>}
                {effects && <><th scope="col">{a.columns.effect}</th><th scope="col">{a.columns.rank}</th></>}
              </tr>
            </thead>
            <tbody>
              {laid.cells.map((cell) => (
                <tr key={cell.id}>
                  <th scope="row"><button type="button" className="atlas-link" onClick={() => handle?.goTo(cell)}>{cell.id}</button></th>
                  <td>{gridText(cell.grid)}</td>
                  <td>{tiles ? number(cellMass(tiles, slot, cell.index), 4) : "–"}</td>
                  {byWord && <td>{number(byWord[cell.index], 4)}</td>}
                  {effects && <><td>{number(effects.values[cell.index], 4)}</td><td>{effects.rank[cell.index] || "–"}</td></>}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
