"""The HTTP API and the page: the library's own calls, for a browser and for other programs.

    app = create_app(Settings(store=Path("photos.store")))

Imports run one way: this package calls `vecstore`, which never calls it. Importing it loads nothing heavy.
"""
