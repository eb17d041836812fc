// Beside the picture: what is read there, what can be asked, objects, explanation, and what the run is.

import { Tabs } from "radix-ui";
import { t } from "../../text";
import { AskPanel } from "./AskPanel";
import { ExplainPanel } from "./ExplainPanel";
import { FactsPanel } from "./FactsPanel";
import { ObjectsPanel } from "./ObjectsPanel";
import { ReadingPanel } from "./ReadingPanel";
import type { Tool } from "./Stage";
import type { RunView } from "./view";

export function Inspector(props: RunView & { tool: Tool; onTool: (tool: Tool) => void; outlined: boolean; onOutlined: (on: boolean) => void }) {
  const { tool, onTool, outlined, onOutlined, ...view } = props;
  const panels = {
    read: [t.reading.tab, <ReadingPanel key="read" {...view} />],
    ask: [t.ask.tab, <AskPanel key="ask" {...view} tool={tool} onTool={onTool} />],
    objects: [t.objects.tab, <ObjectsPanel key="objects" {...view} outlined={outlined} onOutlined={onOutlined} />],
    explain: [t.explain.tab, <ExplainPanel key="explain" {...view} />],
    run: [t.facts.tab, <FactsPanel key="run" {...view} />],
  } as const;
  return (
    <aside className="inspector" aria-label={t.view.title}>
      <Tabs.Root defaultValue="read" onValueChange={(value) => value !== "ask" && onTool("read")}>
        <Tabs.List className="tabs" aria-label={t.view.title}>
          {Object.entries(panels).map(([name, [title]]) => <Tabs.Trigger key={name} value={name}>{title}</Tabs.Trigger>)}
        </Tabs.List>
        {Object.entries(panels).map(([name, [title, panel]]) => (
          <Tabs.Content key={name} value={name} className="tab-panel">
            {name !== "read" && <h2 className="unseen">{title}</h2>}
            {panel}
          </Tabs.Content>
        ))}
      </Tabs.Root>
    </aside>
  );
}
