// Beside the stage: what is read there, and what selecting, changing and finding put after it.

import { Tabs } from "radix-ui";
import { panels } from "./act/panels";
import { ReadPanel } from "./ReadPanel";
import { a } from "./text";
import type { AtlasPanel, AtlasViewProps } from "./view";

export function Inspector(view: AtlasViewProps) {
  const every: AtlasPanel[] = [{ id: "read", title: a.tab, Panel: ReadPanel }, ...panels];
  const all = every.filter((panel) => !panel.hidden?.(view));
  return (
    <aside className="inspector" aria-label={a.title}>
      <Tabs.Root defaultValue="read">
        <Tabs.List className="tabs" aria-label={a.title}>
          {all.map(({ id, title }) => <Tabs.Trigger key={id} value={id} data-panel={id}>{title}</Tabs.Trigger>)}
        </Tabs.List>
        {all.map(({ id, Panel }) => <Tabs.Content key={id} value={id} className="tab-panel"><Panel {...view} /></Tabs.Content>)}
      </Tabs.Root>
    </aside>
  );
}
