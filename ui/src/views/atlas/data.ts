// What the atlas reads of a run: what there is, the maps of one content, the masses of every word, and causal rankings.

import { useMemo } from "react";
import type { Recording } from "../../state/run";
import { filePath, firstWord, wordsOf } from "../../state/run";
import { useResource, type Resource } from "../../state/resource";
import type { Word, Words } from "../../api/types";
import type { AtlasInfo, Content } from "./cells";
import type { Effects, Family } from "./state";
import { tilesOf, type Tiles } from "./tiles";

export const runPath = (recording: Recording, file: string): string => filePath({ id: recording.run.id, version: null }, file);

export function useAtlasInfo(recording: Recording, seen: number): Resource<AtlasInfo> {
  // It grows by jobs, so that its address carries no version.
  return useResource(`${recording.source.base} ${recording.run.id} ${recording.run.version} atlas ${seen}`, () => recording.source.json<AtlasInfo>(runPath(recording, "atlas.json")));
}

// The word that maps are shown of: of a phrase its last, which names the thing.
export function atlasWord(words: Words, label: string | null): Word | null {
  return (label === null ? null : wordsOf(words, label).at(-1)) ?? firstWord(words);
}

const OF_WORD: Partial<Record<Family, string>> = { word: "word", "contribution-word": "contribution", "signed-word": "signed" };

export function contentOf(info: AtlasInfo, family: Family, word: Word | null): Content | null {
  const stem = OF_WORD[family];
  const id = stem ? `${stem}-${word?.index}` : family;
  return info.contents.find((content) => content.id === id) ?? null;
}

// Families in the order of the menu, each with what there is of it for the word.
export function familiesOf(info: AtlasInfo, families: readonly Family[], word: Word | null): { family: Family; content: Content }[] {
  return families.flatMap((family) => {
    const content = contentOf(info, family, word);
    return content ? [{ family, content }] : [];
  });
}

export function useTiles(recording: Recording, info: AtlasInfo | null, content: Content | null, file: string | null): Resource<Tiles> {
  const firsts = useMemo(() => new Map(info?.sites.map(({ index, first, heads }) => [index, { first, heads }]) ?? []), [info]);
  const key = info && content?.available && file ? `${recording.source.base} ${recording.run.id} ${recording.run.version} ${content.id} ${file}` : null;
  return useResource(key, async () => tilesOf(await recording.source.tensors(filePath(recording.run, `atlas/${content!.id}/${file}.safetensors`)), content!, firsts, info!.cells));
}

export interface Masses {
  words: number[];
  slots: (number | null)[];
  // By word, then slot, then number of the cell; NaN where the cell reads no words.
  at: (word: number, slot: number) => Float64Array | null;
}

export function useMasses(recording: Recording, info: AtlasInfo | null): Resource<Masses> {
  const key = info && info.words.length > 0 ? `${recording.source.base} ${recording.run.id} ${recording.run.version} masses` : null;
  return useResource(key, async () => {
    const { metadata, tensors } = await recording.source.tensors(filePath(recording.run, "atlas/masses.safetensors"));
    const tensor = tensors.mass!;
    const scale = Number(metadata.scale ?? 1) || 1;
    const words = JSON.parse(metadata.words ?? "[]") as number[];
    const slots = (JSON.parse(metadata.slots ?? "[]") as (number | "mean")[]).map((slot) => (slot === "mean" ? null : slot));
    const sites = JSON.parse(metadata.sites ?? "[]") as { index: number; heads: number[]; first: number }[];
    const [, , count = 0] = tensor.shape;
    const made = new Map<string, Float64Array>();
    const at = (word: number, slot: number) => {
      const place = words.indexOf(word);
      if (place < 0 || slot < 0 || slot >= slots.length) return null;
      const name = `${place} ${slot}`;
      let found = made.get(name);
      if (!found) {
        found = new Float64Array(info!.cells).fill(NaN);
        for (const site of sites) {
          const whole = info!.sites.find(({ index }) => index === site.index);
          site.heads.forEach((head, i) => {
            if (whole) found![whole.first + whole.heads.indexOf(head)] = tensor.values[(place * slots.length + slot) * count + site.first + i]! * scale;
          });
        }
        made.set(name, found);
      }
      return found;
    };
    return { words, slots, at };
  });
}

export interface Ranking {
  target: string;
  word: string | null;
  unit: string;
  heads: { rank: number; site: string; head: number; effect: number; low: number | null; high: number | null }[];
}

export function useRankings(recording: Recording, seen: number): Resource<Ranking[]> {
  return useResource(`${recording.source.base} ${recording.run.id} ${recording.run.version} rankings ${seen}`, async () => {
    const { rankings } = await recording.source.json<{ rankings: Ranking[] }>(runPath(recording, "rankings.json"));
    return rankings;
  });
}

export function effectsOf(info: AtlasInfo, { word, target, unit, heads }: Ranking): Effects {
  const blank = () => new Float64Array(info.cells).fill(NaN);
  const [values, low, high, rank] = [blank(), blank(), blank(), new Int32Array(info.cells)];
  const sites = new Map(info.sites.map((site) => [site.name, site]));
  for (const head of heads) {
    const site = sites.get(head.site);
    const at = site ? site.heads.indexOf(head.head) : -1;
    if (!site || at < 0) continue;
    const cell = site.first + at;
    values[cell] = head.effect;
    rank[cell] = head.rank;
    low[cell] = head.low ?? NaN;
    high[cell] = head.high ?? NaN;
  }
  return { word: word ?? target, values, rank, low, high, label: target, unit };
}
