"""Live zoom in the slice views, on the main thread: what views show goes to the library's engine, frames come back.

`session` is live zoom while it is on, `slice_view` one view of it, `layers` the nodes it shows, `marks` what is drawn
over a view (badge, edge of the lens), `keeping` makes volumes of views, `section` is its part of the panel, `console`
what the module's logic offers of it. The heavy work is done by `MultiContrastSRLib.live`.
"""
