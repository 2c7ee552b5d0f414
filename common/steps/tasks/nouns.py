"""Nouns, of which instructions are made."""

from __future__ import annotations

_LISTED = """
airport anchor apple archive bakery bank battery beach bee bicycle bird boat book border bottle branch bread bridge
budget bus butter cable calendar camera candle canvas castle cat cave chair chemistry chess child circle city cloud
coast code coffee comet compass concert contract cook copper corn courage court cousin crystal dance data debt
desert diary dinner doctor dog dream dust eagle election engine envelope equation error exam factory family farm
festival fire fish flood flower forest fossil frog fuel game garden gate ghost glacier glass gold grammar grain
gravity guitar hammer harbour hat history honey horse hospital hotel ice index insurance island jacket jewel journey
judge jury key kitchen ladder lake lamp language law leaf lens letter library light lock loom map market mathematics
medicine memory metal mirror moon mountain museum music needle neighbour network newspaper night novel oak ocean
office opera orchard paint paper parade park passport pattern pencil piano planet poem police pottery price prison
proof queue rain recipe river road robot rocket roof root salt sand satellite school seed shadow ship shoe signal
silence smoke snow software soil song spring square star station stone storm street sugar summer table tax teacher
telescope tent theatre thread ticket tide tool tower toy train translation tree tunnel vaccine valley village violin
virus vote wage wall watch water weather wheel wind window winter wood yeast
"""
NOUNS = tuple(_LISTED.split())
