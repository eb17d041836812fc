// What is shown over the picture: the answer to the selection, be it a word, a concept or a region.

import { useMemo } from "react";
import { diffused as spread, coverage, regionMap, shapeOf } from "../maps/regions";
import { meanOver, seriesOf, type Heat, type Series } from "../maps/series";
import { resolveRanges, selectionText, type Selection } from "../selection";
import { t } from "../text";
import type { Direction } from "./address";
import { useResource } from "./resource";
import { filePath, heatAt, labelSeries, type Recording, type WordMaps } from "./run";

export interface Question {
  kind: "word" | "concept" | "region";
  label: string;
  steps: number[];
  heat: Heat | null;
  series: Series | null; // over the steps, where the answer has them
  unit: string;
  aggregation: string;
  exact: boolean;
  loading: boolean;
  error: Error | null;
}

export function shownSteps(recording: Recording, selection: Selection): number[] {
  const { steps } = recording;
  const asked = resolveRanges(selection.steps, (steps.at(-1) ?? -1) + 1);
  const there = asked?.filter((step) => steps.includes(step)) ?? [];
  return there.length ? there : steps;
}

export function useQuestion(recording: Recording, maps: WordMaps, selection: Selection, direction: Direction, diffuse: boolean): Question {
  const steps = useMemo(() => shownSteps(recording, selection), [recording, selection.steps]);
  const kind = selection.region !== null ? "region" : selection.concept !== null ? "concept" : "word";
  const concept = useConcept(recording, kind === "concept" ? selection : null);
  const region = useRegion(recording, kind === "region" ? selection : null, steps, direction, diffuse);
  const label = selection.word ?? "";
  const word = useMemo(() => (kind === "word" ? labelSeries(recording.words, maps, label) : null), [kind, recording, maps, label]);
  const heat = useMemo(() => {
    if (kind === "word") return heatAt(recording.words, maps, label, steps, recording.steps.length);
    if (kind === "concept") return concept.value && meanOver(concept.value, steps);
    return region.value?.heat ?? null;
  }, [kind, recording, maps, label, steps, concept.value, region.value]);
  const series = kind === "word" ? word : kind === "concept" ? concept.value : null;
  const other = kind === "concept" ? concept : region;
  return {
    kind,
    label: kind === "word" ? label : kind === "concept" ? selection.concept! : t.ask.regionLabel(direction, selection.region!),
    steps,
    heat,
    series,
    unit: kind === "region" ? (region.value?.unit ?? "attention probability") : (series?.unit ?? "attention probability"),
    aggregation: kind === "region" ? (region.value?.aggregation ?? "") : (series?.aggregation ?? ""),
    exact: kind === "region" ? (region.value?.exact ?? false) : (series?.exact ?? false),
    loading: heat === null && (kind === "word" ? maps.error === null : other.loading),
    error: kind === "word" ? maps.error : other.error,
  };
}

function useConcept({ source, run, steps }: Recording, selection: Selection | null) {
  const asked = selection && selectionText({ ...selection, steps: "all", word: null, region: null });
  return useResource(asked && `${run.id} ${run.version} ${asked}`, async (): Promise<Series> => {
    if (!source.server) throw new Error(t.serverOnly);
    const path = `api/runs/${encodeURIComponent(run.id)}/map`;
    return seriesOf(await source.server.ask(path, { selection: asked!, each_step: true }), { label: selection!.concept!, steps });
  });
}

interface RegionAnswer {
  heat: Heat;
  unit: string;
  aggregation: string;
  exact: boolean;
}

// From the files of single cells where there are such (no request after the first); else from the server.
function useRegion(recording: Recording, selection: Selection | null, steps: number[], direction: Direction, diffuse: boolean) {
  const { source, run } = recording;
  const all = steps.length === recording.steps.length;
  const asked = selection && `${selection.region} ${selection.sites} ${selection.heads} ${all ? "all" : steps.join(",")} ${direction} ${diffuse}`;
  return useResource(asked && `${run.id} ${run.version} ${asked}`, async (): Promise<RegionAnswer> => {
    const shape = shapeOf(selection!.region!);
    const plain = selection!.sites === "all" && selection!.heads === "all";
    const nested = !source.server || (shape !== null && shape.kind !== "contour" && !diffuse);
    const few = all || steps.length === 1 || !source.server;
    if (shape && plain && nested && few && run.can.region_files && run.self_grid) {
      const files = await Promise.all((all ? ["all"] : steps.map((step) => String(step).padStart(4, "0"))).map((name) => source.tensors(filePath(run, `self/${direction}/${name}.safetensors`))));
      const weights = coverage(shape, [run.self_grid[0] ?? 1, run.self_grid[1] ?? 1], { width: run.width ?? 1, height: run.height ?? 1 });
      const heats = files.map((file) => {
        const cells = seriesOf(file, { label: "", steps: [] });
        const start = regionMap(cells.maps, weights, cells.width);
        return { cells, heat: diffuse ? spread(cells.maps, start) : start };
      });
      const first = heats[0]!;
      const series: Series = { ...first.cells, steps: heats.map((_, i) => i), maps: heats.map(({ heat }) => heat.values) };
      const heat = meanOver(series, series.steps)!;
      return { heat, unit: first.cells.unit, aggregation: first.cells.aggregation, exact: first.cells.exact };
    }
    if (!source.server) throw new Error(t.serverOnly);
    const found = seriesOf(
      await source.server.ask(`api/runs/${encodeURIComponent(run.id)}/regions`, {
        region: selection!.region,
        direction,
        steps: selection!.steps,
        sites: selection!.sites,
        heads: selection!.heads,
        diffused: diffuse,
      }),
      { label: "", steps: [] },
    );
    const { width, height } = found;
    return { heat: { values: found.maps[0]!, width, height }, unit: found.unit, aggregation: found.aggregation, exact: found.exact };
  });
}
