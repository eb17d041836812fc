// The film on the screen: plays, is scrubbed, is flown through. Its time and camera live outside of React, which hears of
// them often enough for its labels.

import { useCallback, useEffect, useRef, useState } from "react";
import { t } from "../../text";
import { Bar } from "./Bar";
import { LOOKS, SPEEDS, type Film, type Speed } from "./film";
import { useFlight } from "./flight";
import { moment, SECONDS, type Camera } from "./motion";
import { Pace } from "./pace";
import { savePoints } from "./points";
import { MOST_WORDS, type Score } from "./score";
import { Stage } from "./stage";

const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

export function Player({ score, film, words, onFilm, onEnd }: {
  score: Score;
  film: Film;
  words: string[]; // that may be gone into
  onFilm: (film: Film) => void;
  onEnd: (() => void) | null; // to the next recording
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const whole = useRef<HTMLDivElement>(null);
  const stage = useRef<Stage | null>(null);
  const pace = useRef(new Pace());
  const live = useRef({ time: film.at, camera: film.camera, asked: true, last: 0, held: 0 });
  const [at, setAt] = useState(film.at);
  const [playing, setPlaying] = useState(!still() && film.at === 0);
  const [speed, setSpeed] = useState<Speed>("plain");
  const [loop, setLoop] = useState(true);
  const [count, setCount] = useState(0); // 0: what the machine shows smoothly
  const [failed, setFailed] = useState("");
  const [drawn, setDrawn] = useState({ count: 0, frame: 0 });
  const now = useRef({ score, film, playing, speed, loop, count, onEnd });
  now.current = { score, film, playing, speed, loop, count, onEnd };

  useEffect(() => {
    try {
      stage.current = new Stage(canvas.current!);
    } catch {
      setFailed(t.morph.noWebgl);
      return;
    }
    const made = stage.current;
    let going = true;
    const fit = () => {
      const box = canvas.current!.getBoundingClientRect();
      const ratio = Math.min(window.devicePixelRatio || 1, pace.current.level.resolution);
      made.resize(Math.max(16, Math.round(box.width * ratio)), Math.max(16, Math.round(box.height * ratio)));
      live.current.asked = true;
    };
    const watch = new ResizeObserver(fit);
    watch.observe(canvas.current!);
    const step = (clock: number) => {
      if (!going) return;
      requestAnimationFrame(step);
      const { film, playing, speed, loop, count, onEnd } = now.current;
      const state = live.current;
      const passed = state.last ? clock - state.last : 0;
      state.last = clock;
      if (playing && passed) {
        // A slow machine skips frames, not time; a page that slept goes on where it was.
        const next = state.time + (Math.min(passed, 250) / 1000 / SECONDS) * SPEEDS[speed];
        if (next >= 1 && film.kiosk) onEnd?.();
        state.time = next < 1 ? next : loop || film.kiosk ? next % 1 : 1 - 1e-6;
        if (next >= 1 && !loop && !film.kiosk) setPlaying(false);
        state.asked = true;
        if (pace.current.took(passed)) fit();
      } else if (film.kiosk && still()) {
        state.held += passed;
        if (state.held > SECONDS * 1000) {
          state.held = 0;
          onEnd?.();
        }
      }
      if (!state.asked) return;
      state.asked = false;
      const here = moment(state.time, now.current.score.words.length > 0, film.flow);
      const many = count || pace.current.level.count;
      made.draw(here, state.camera ?? made.pathAt(here), LOOKS[film.look], many);
      setAt((before) => (Math.abs(before - state.time) > 0.004 || !playing ? state.time : before));
      setDrawn((before) => (before.count === many && before.frame === Math.round(pace.current.typical) ? before : { count: many, frame: Math.round(pace.current.typical) }));
    };
    requestAnimationFrame(step);
    return () => {
      going = false;
      watch.disconnect();
      made.dispose();
      stage.current = null;
    };
  }, []);

  const ask = () => (live.current.asked = true);
  useEffect(() => {
    stage.current?.play(score);
    ask();
  }, [score]);
  useEffect(() => {
    ask();
  }, [film.look, film.flow, film.camera, count]);

  // The address says another time or camera: somebody went back, or opened a link.
  const written = useRef<Film>(film);
  useEffect(() => {
    if (film === written.current) return;
    live.current.camera = film.camera;
    if (Math.abs(film.at - live.current.time) > 1e-4 && !now.current.playing) live.current.time = film.at;
    written.current = film;
    ask();
  }, [film]);
  const change = useCallback((part: Partial<Film>) => {
    const { film, playing } = now.current;
    onFilm({ ...film, camera: live.current.camera, at: playing ? 0 : live.current.time, ...part });
  }, [onFilm]);

  const seek = useCallback((time: number) => {
    live.current.time = Math.min(Math.max(time, 0), 1 - 1e-6);
    setAt(live.current.time);
    ask();
  }, []);
  // At rest the address holds the moment; while it plays it does not change.
  useEffect(() => {
    if (playing || film.kiosk) return;
    const timer = window.setTimeout(() => change({}), 350);
    return () => window.clearTimeout(timer);
  }, [at, playing]);
  useEffect(() => {
    if (film.kiosk && still()) seek(0.5);
    if (film.kiosk && !still()) setPlaying(true);
  }, [film.kiosk, score]);

  const fly = useCallback((camera: Camera | null, done: boolean) => {
    live.current.camera = camera;
    ask();
    if (done) change({ camera });
  }, [change]);
  const cameraNow = useCallback(() => {
    const here = moment(live.current.time, now.current.score.words.length > 0, now.current.film.flow);
    return live.current.camera ?? stage.current!.pathAt(here);
  }, []);
  useFlight(canvas, cameraNow, fly, !film.kiosk);

  const full = () => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void whole.current?.requestFullscreen?.().catch(() => undefined);
  };
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).closest("select, textarea, [role=radiogroup]")) return;
      const scrub = (event.target as HTMLElement).closest("input, button") !== null;
      const orbit = (yaw: number, pitch: number, nearer = 1) => {
        const camera = cameraNow();
        fly({ ...camera, yaw: camera.yaw + yaw, pitch: Math.min(Math.max(camera.pitch + pitch, -1.5), 1.5), distance: Math.min(Math.max(camera.distance * nearer, 0.6), 14) }, true);
      };
      const keys: Record<string, () => void> = {
        " ": () => !scrub && setPlaying((before) => !before),
        ArrowRight: () => !scrub && seek(live.current.time + 0.005),
        ArrowLeft: () => !scrub && seek(live.current.time - 0.005),
        Home: () => !scrub && seek(0),
        End: () => !scrub && seek(1),
        a: () => orbit(-0.08, 0), d: () => orbit(0.08, 0), w: () => orbit(0, 0.06), s: () => orbit(0, -0.06),
        "+": () => orbit(0, 0, 0.93), "=": () => orbit(0, 0, 0.93), "-": () => orbit(0, 0, 1.07),
        c: () => fly(null, true),
        f: full,
        Escape: () => film.kiosk && !document.fullscreenElement && change({ kiosk: false }),
      };
      const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (!act) return;
      if (!scrub) event.preventDefault();
      act();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [film.kiosk, change, fly, seek]);
  useWakeLock(film.kiosk);

  const here = moment(at, score.words.length > 0, film.flow);
  const phase = here.progress < score.phases[0] ? 0 : here.progress < score.phases[1] ? 1 : 2;
  const step = score.steps[Math.round(here.progress * (score.steps.length - 1))] ?? 0;
  const state = t.morph.state(t.morph.phases[phase]!, step, here.focus > 0.5 ? score.words : []);
  const choose = (label: string) => {
    const words = score.words.includes(label) ? score.words.filter((each) => each !== label) : [...score.words, label];
    if (words.length <= MOST_WORDS) change({ words });
  };
  return (
    <div className={`morph ${film.kiosk ? "kiosk" : ""} ${LOOKS[film.look].paper ? "on-paper" : ""}`} ref={whole}>
      <canvas ref={canvas} tabIndex={film.kiosk ? -1 : 0} role="img" aria-label={t.morph.canvas(score.prompt, state)} data-run={score.id} data-particles={drawn.count} data-frame={drawn.frame} />
      {failed && <p className="notice morph-failed" role="alert">{failed}</p>}
      <div className="morph-title" aria-hidden={film.kiosk || undefined}>
        <h1>{score.prompt}</h1>
        <p data-shown={here.focus > 0.35}>{score.words.join(" · ")}</p>
      </div>
      {film.kiosk ? (
        <button type="button" className="morph-leave" onClick={() => change({ kiosk: false })}>{t.morph.leave}</button>
      ) : (
        <Bar
          score={score} film={film} words={words} at={at} state={state} phase={t.morph.state(t.morph.phases[phase]!, step, [])} playing={playing} speed={speed} loop={loop} count={count} drawn={drawn.count}
          onPlay={() => setPlaying((before) => !before)} onSeek={(time) => { setPlaying(false); seek(time); }} onSpeed={setSpeed} onLoop={setLoop} onCount={setCount}
          onWord={choose} onFilm={change} onFull={full} onCamera={() => fly(live.current.camera ? null : cameraNow(), true)}
          onSave={() => void savePoints(stage.current!, score, moment(live.current.time, score.words.length > 0, film.flow), LOOKS[film.look], drawn.count || 65_536)}
        />
      )}
    </div>
  );
}

// A kiosk keeps the screen awake, where the browser lets it.
function useWakeLock(wanted: boolean): void {
  useEffect(() => {
    if (!wanted || !("wakeLock" in navigator)) return;
    let lock: WakeLockSentinel | null = null;
    let over = false;
    const hold = () => {
      if (document.visibilityState !== "visible") return;
      navigator.wakeLock.request("screen").then((got) => (over ? void got.release() : (lock = got)), () => undefined);
    };
    hold();
    document.addEventListener("visibilitychange", hold);
    return () => {
      over = true;
      document.removeEventListener("visibilitychange", hold);
      void lock?.release();
    };
  }, [wanted]);
}
