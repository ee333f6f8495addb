"""Live zoom in the slice views, on the main thread: requests go to the library's engine, frames are shown.

`live_zoom` is live zoom while it is on, `slice_view` one of its views, `layers` the nodes that show frames,
`annotations` what is drawn over a view (label, edge of the lens), `view_volume` makes volumes of views, `comparison`
shows a finished result beside its scan (`compare_layout` the two views), `view_session` is what it and live zoom have
in common, and `live_zoom_logic` has the calls of the module's logic. `MultiContrastSRLib.live` does the heavy work.
"""
