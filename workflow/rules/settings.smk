# Settings files are written while the rules are read. A dry run writes nothing: this rule, which no run has, stands for
# the files that are new or have changed, so that the plan shows what follows from them.

import tempfile

if TO_WRITE:
    NEWER = tempfile.NamedTemporaryFile(prefix="mammoflow-")  # newer than the settings files of earlier runs

    rule write_settings:
        input:
            NEWER.name,
        output:
            TO_WRITE,
        localrule: True
        shell:
            "false"
