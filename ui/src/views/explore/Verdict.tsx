// The verdict of a test as a mark: full, half, an open ring, or a bar.

import type { Test, Verdict as Name } from "../../state/tests";
import { t } from "../../text";

const MARKS: Record<Name, string> = {
  supported: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1z",
  "in part": "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1zm0 1.4v7.2a3.6 3.6 0 0 0 0-7.2z",
  "not supported": "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1zm0 1.4a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2z",
  "no effect": "M1.5 5.2h9v1.6h-9z",
};

export const isVerdict = (name: string | undefined): name is Name => name !== undefined && name in MARKS;

export function VerdictMark({ verdict }: { verdict: Name }) {
  return (
    <svg className={`verdict ${verdict.replace(" ", "-")}`} viewBox="0 0 12 12" aria-hidden="true">
      <path fillRule="evenodd" d={MARKS[verdict]} />
    </svg>
  );
}

// What the marks mean, for as many as there are.
export function VerdictKey({ tests }: { tests: Readonly<Record<string, Test>> }) {
  const names = Object.keys(MARKS).filter((name) => Object.values(tests).some((test) => test.verdict === name)) as Name[];
  if (names.length === 0) return null;
  return (
    <span className="verdict-key" data-testid="verdict-key">
      {t.faithful.key}
      {names.map((name) => <span key={name}><VerdictMark verdict={name} /> {t.faithful.verdicts[name]}</span>)}
    </span>
  );
}
