"""A small interpreter of Bicep: what would deploy/containerapps create, given these parameters?

No Bicep compiler can be had from a package registry, and reading the text by eye proves nothing. Of the grammars that
can be had, pycep does not tell names from strings and gets precedence wrong; tree-sitter's is sound, but has 217 MB and
only parses. This one knows what our files use and refuses everything else, so a typing error in a name, a parameter, a
type or a function is an error here too. What Azure itself would say to the result it cannot know.
"""

from tests.unit.deploy.bicep.evaluating import Deployment, Resource, deploy, read_params

__all__ = ["Deployment", "Resource", "deploy", "read_params"]
