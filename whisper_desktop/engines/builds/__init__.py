"""llama-server programs: which are there, what they can do, and official builds installed by this app.

`find_binary` says which one is used. `releases` and `assets` say what could be installed, `install` does it,
`keep` looks after what is installed. Nothing here is fetched or changed unless a person asked for it.
"""
