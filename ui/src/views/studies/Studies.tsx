// The list of studies: what is asked of many pictures, and how far it is.

import { Failed, Waiting } from "../../parts/controls";
import { linkTo } from "../../state/address";
import { useLibrary } from "../../state/source";
import { t } from "../../text";
import { Amount } from "./Amount";
import { useStudies } from "./useStudies";

export function Studies() {
  const { source } = useLibrary();
  const found = useStudies(source);
  return (
    <div className="page narrow">
      <div><h1>{t.titles.studies}</h1><p className="hint">{t.studies.intro}</p></div>
      {found.error && <Failed error={found.error} />}
      {!found.value && !found.error && <Waiting />}
      {found.value?.length === 0 && <p className="hint">{t.studies.none}</p>}
      <ul className="studies">
        {found.value?.map((study) => (
          <li key={study.name}>
            <a href={linkTo({ view: "study", study: study.name })}>{study.title || study.name}</a>
            {study.title && study.title !== study.name && <p className="hint mono">{study.name}</p>}
            <Amount study={study} />
          </li>
        ))}
      </ul>
    </div>
  );
}
