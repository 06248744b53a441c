"""What the note of a row says where the row has seen the reference mask."""

SEES_REFERENCE = "oracle: sees the reference mask"

ORACLE_MASKS = "oracle: of several masks the one nearest to the reference was taken"
