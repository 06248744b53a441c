# Settings files are written while the rules are read. A dry run writes nothing. It has this rule in place of the files
# that are new or have changed, so the plan shows which jobs they cause. A run does not have the rule.

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
