// The frame: the bar above, and the view that the address names.

import { ToggleGroup } from "radix-ui";
import { lazy, Suspense, useEffect, useState } from "react";
import { openSource, SourceError, type Source } from "./api/source";
import type { RunSummary, TrashEntry } from "./api/types";
import { Failed, Waiting } from "./parts/controls";
import { Holding } from "./parts/Holding";
import { linkTo, type Route } from "./state/address";
import { useWatchedJobs } from "./state/jobList";
import { LibraryContext, type Library } from "./state/source";
import { useStore, type Theme } from "./state/store";
import { t } from "./text";
import { Compare } from "./views/compare/Compare";
import { Edit } from "./views/edit/Edit";
import { Explore } from "./views/explore/Explore";
import { Gallery } from "./views/gallery/Gallery";
import { JobsButton } from "./views/jobs/Jobs";
import { Record } from "./views/record/Record";
import { Studies } from "./views/studies/Studies";
import { Study } from "./views/studies/Study";

// three.js comes with it: loaded when it is wanted.
const Morph = lazy(() => import("./views/morph/Morph"));
const Atlas = lazy(() => import("./views/atlas/Atlas"));

// Half and half, the sun, the moon.
const ICONS: Record<Theme, string> = {
  auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 1.5a4.5 4.5 0 0 1 0 9z",
  light: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM7.3.8h1.4v2.2H7.3zM7.3 13h1.4v2.2H7.3zM.8 7.3H3v1.4H.8zM13 7.3h2.2v1.4H13zM2.5 3.5l1-1L5 4.1l-1 1zM11 12l1-1 1.6 1.5-1 1zM12.6 2.5l1 1L12 5.1l-1-1zM4 11l1 1-1.5 1.6-1-1z",
  dark: "M6.2 2.1a6.2 6.2 0 1 0 7.7 7.7A5.2 5.2 0 0 1 6.2 2.1z",
};

async function listed(source: Source): Promise<{ runs: RunSummary[]; trash: TrashEntry[] }> {
  const { runs, trash } = await source.json<{ runs: RunSummary[]; trash?: TrashEntry[] }>("api/runs/index.json");
  return { runs, trash: trash ?? [] };
}

export function App() {
  const [library, setLibrary] = useState<Library | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    const open = async () => {
      const source = await openSource();
      const reload = async () => {
        const next = await listed(source);
        setLibrary((before) => before && { ...before, ...next });
      };
      const found = await listed(source);
      // The recording that comes with the page, for where there is no other.
      const example = found.runs.length ? null : await openSource("example/").catch(() => null);
      setLibrary({ source, example, reload, ...found });
    };
    open().catch((reason: unknown) => setError(reason instanceof SourceError ? reason : new Error(String(reason))));
  }, []);
  const theme = useStore((state) => state.theme);
  const view = useStore(({ route }) => `${route.view} ${"run" in route ? route.run : ""}`);
  useWatchedJobs(library?.source ?? null, view);
  useEffect(() => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  return (
    <>
      <Top library={library} />
      <main id="main" tabIndex={-1}>
        {error && <div className="page narrow"><Failed error={error} /></div>}
        {!library && !error && <div className="page"><Waiting /></div>}
        {library && <LibraryContext value={library}><Holding><View library={library} /></Holding></LibraryContext>}
      </main>
    </>
  );
}

function Top({ library }: { library: Library | null }) {
  const route = useStore((state) => state.route);
  const theme = useStore((state) => state.theme);
  const set = useStore((state) => state.set);
  const links: [Route, string, boolean][] = [
    [{ view: "gallery" }, t.nav.gallery, true],
    [{ view: "record" }, t.nav.record, Boolean(library?.source.server && !library.source.site.read_only)],
    [{ view: "atlas", run: "run" in route ? route.run : "", atlas: "" }, t.nav.atlas, Boolean(library?.runs.length ? library.source.site.atlas : library?.example?.site.atlas)],
    [{ view: "morph", run: "run" in route ? route.run : "", film: "" }, t.morph.title, Boolean(library?.runs.length || library?.example)],
    [{ view: "studies" }, t.nav.studies, Boolean(library?.source.server)],
  ];
  const here = (view: Route["view"]) => route.view === view || (view === "studies" && route.view === "study");
  return (
    <header className="top">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); (document.getElementById("view") ?? document.querySelector("main"))?.focus(); }}>{t.skip}</a>
      <a className="mark" href={linkTo({ view: "gallery" })} aria-label={t.name}>
        <svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="8.5" /><circle cx="10" cy="10" r="4.7" opacity=".65" /><circle cx="10" cy="10" r="1.8" /></svg>
        <span>{t.name}</span>
      </a>
      <nav aria-label={t.nav.label}>
        {links.map(([to, name, shown]) => shown && <a key={name} href={linkTo(to)} aria-current={here(to.view) ? "page" : undefined}>{name}</a>)}
      </nav>
      <div className="top-end">
        {library && <LibraryContext value={library}><JobsButton /></LibraryContext>}
        <ToggleGroup.Root type="single" className="segmented icons" aria-label={t.theme.label} value={theme} onValueChange={(next) => next && set({ theme: next as Theme })}>
          {(Object.entries(ICONS) as [Theme, string][]).map(([name, path]) => (
            <ToggleGroup.Item key={name} value={name} aria-label={t.theme[name]} title={t.theme[name]}>
              <svg viewBox="0 0 16 16" aria-hidden="true"><path d={path} /></svg>
            </ToggleGroup.Item>
          ))}
        </ToggleGroup.Root>
      </div>
    </header>
  );
}

function View({ library }: { library: Library }) {
  const route = useStore((state) => state.route);
  useEffect(() => {
    const name = { gallery: t.titles.gallery, record: t.titles.record, studies: t.titles.studies, study: t.titles.studies, edit: t.titles.edit, compare: t.titles.compare, run: "", morph: "", atlas: "" }[route.view];
    if (name) document.title = `${name} · ${t.name}`;
    if (route.view === "gallery") void library.reload();
  }, [route.view]);
  switch (route.view) {
    case "run":
      return <Explore key={route.run} id={route.run} />;
    case "record":
      return <Record />;
    case "edit":
      return <Edit key={route.run} id={route.run} />;
    case "compare":
      return <Compare key={`${route.run} ${route.other}`} a={route.run} b={route.other} control={route.control} />;
    case "morph":
      return <Suspense fallback={<div className="page"><Waiting /></div>}><Morph run={route.run} film={route.film} /></Suspense>;
    case "atlas":
      return <Suspense fallback={<div className="page"><Waiting /></div>}><Atlas run={route.run} atlas={route.atlas} /></Suspense>;
    case "studies":
      return <Studies />;
    case "study":
      return <Study key={route.study} name={route.study} />;
    case "gallery":
      return <Gallery />;
  }
}
