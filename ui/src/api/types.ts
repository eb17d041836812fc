// What the API answers and takes. The shapes come from the server's OpenAPI (`schema.ts`, generated); those written out
// here are the ones that the server describes only as plain JSON.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type RunSummary = Schemas["RunSummary"];
export type TrashEntry = Schemas["TrashEntry"];
export type RunList = Schemas["RunList"];
export type StepInfo = Schemas["StepInfo"];
export type Site = Schemas["SiteInfo"];
export type RunDetail = Schemas["RunWhole"];
export type Word = Schemas["WordInfo"];
export type Words = Schemas["Words"];
export type CheckedPrompt = Schemas["CheckedPrompt"];
export type CheckedEdits = Schemas["CheckedEdits"];
export type Comparison = Schemas["Comparison"];
export type Model = Schemas["Model"];
export type SiteInfo = Schemas["Site"];
export type StudyList = Schemas["StudyList"];
export type StudySummary = Schemas["StudyLine"];
export type StudyRun = Schemas["StudyRun"];
export type StudyRuns = Schemas["StudyRuns"];
export type MapValues = Schemas["MapValues"];
export type MapQuestion = Partial<Schemas["MapQuestion"]> & { selection: string };
export type RegionQuestion = Partial<Schemas["RegionQuestion"]>;
export type Sizes = Schemas["Sizes"];
export type Job = Schemas["Job"];
type Asked<T, Needed extends keyof T> = Partial<T> & Pick<T, Needed>;
export type JobRequest =
  | Asked<Schemas["RecordJob"], "kind" | "prompt">
  | Asked<Schemas["EstimateJob"], "kind" | "prompt">
  | (Asked<Schemas["EditJob"], "kind" | "run"> & { edits: Edit[] })
  | Asked<Schemas["ConceptJob"], "kind" | "run" | "text">
  | { kind: "faithfulness"; run: string; word: string };

// What a job made: runs, or what was measured.
export interface JobResult {
  runs?: string[];
  control?: string | null;
  concept?: string;
  selection?: string;
  bytes?: Record<string, number>;
  level?: string;
}

export type Failure = Omit<Schemas["Problem"], "status" | "details"> & Partial<Pick<Schemas["Problem"], "status" | "details">>;

export interface Moment {
  step: number | null;
  log_snr?: number | null;
  censored?: boolean;
  flat?: boolean;
  against?: string;
  value?: number;
}

export interface TimelineWord {
  word: string;
  kind: string;
  curves: Record<string, (number | number[] | null)[]>;
  moments: Record<string, Moment | null>;
}

export interface TimelineFacts {
  available: boolean;
  why?: string | null;
  steps: number[];
  log_snr: (number | null)[];
  words: TimelineWord[];
  controls: TimelineWord[];
}

export interface ObjectFound {
  index: number;
  label: string;
  category: string | null;
  score: number | null;
  box: [number, number, number, number];
  area: number;
  selection: string;
  // COCO's form: lengths of runs outside and inside by turns, down the columns.
  rle: { size: [number, number]; counts: number[] };
}

export interface Objects {
  available: boolean;
  why: string | null;
  objects: ObjectFound[];
  warnings?: string[];
}

export interface Sentence {
  text: string;
  cites: string[];
}

export interface Claim {
  id: string;
  statistic: string;
  selection: string | null;
  value: number | string | null;
  unit: string | null;
}

export interface Explanation {
  available: boolean;
  why: string | null;
  parts?: Record<string, Sentence[]>;
  claims?: Claim[];
  diagnoses?: { word: string; came_true: boolean; cites: string[]; try: { title: string; command: string }[] }[];
}

export interface StudyFacts {
  plan: { model?: { id: string }; seeds?: number[]; question?: string };
  model: { id: string } | null;
  status: { seconds: number | null; by_condition: Record<string, [number, number, number]> };
}

export interface Faithfulness {
  tests: Record<string, { verdict?: string; sentence?: string }>;
}

export type Edit =
  | { edit: "silence"; word: string; steps?: string }
  | { edit: "reweight"; word: string; factor: number; steps?: string }
  | { edit: "reprompt"; prompt: string; steps?: string }
  | {
      edit: "steer";
      toward: string;
      away?: string | null;
      word?: string | null;
      strength: number;
      space: "embedding" | "guidance";
      steps?: string;
    };
